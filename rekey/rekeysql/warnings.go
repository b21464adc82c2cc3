package rekeysql

import (
	"context"
	"fmt"
	"strings"
)

// Warnings tells what a person should know before the first write: triggers that every swap will fire, columns that the
// database changes on every update and that Table.Keep does not name, and about how many bytes the database's log will
// grow by, given how many a sweep would rewrite (Report.Bytes of a dry run). No warning is a reason to refuse.
func (s *Store) Warnings(ctx context.Context, rewritten int64) (warnings []string, err error) {
	triggers, err := s.flavor.triggers(ctx, s.db, s.table)
	if err != nil {
		return nil, fmt.Errorf("rekeysql: reading the catalogue: %w", err)
	}
	for _, name := range triggers {
		warnings = append(warnings, fmt.Sprintf("table %s: every swap fires the trigger %s", s.table.Name, name))
	}
	for _, c := range s.bumped {
		warnings = append(warnings, fmt.Sprintf("table %s: every swap changes the column %s, which Keep does not name", s.table.Name, c))
	}
	if rewritten > 0 {
		// A row image before and one after in MySQL (binlog_row_image=full), the new row in PostgreSQL and SQLite.
		images := int64(1)
		if _, ok := s.flavor.(mysql); ok {
			images = 2
		}
		warnings = append(warnings, fmt.Sprintf("table %s: the log of the database grows by %d bytes or more", s.table.Name, images*rewritten))
	}
	return warnings, nil
}

// errReplica is why nothing is written to a replica: what it would change its primary does not know of.
type errReplica string

func (e errReplica) Error() string {
	return "rekeysql: " + string(e) + " is on a read-only replica: scan it if you like, and swap on the primary"
}

func (sqlite) readOnly(ctx context.Context, db DB) (bool, error) {
	answer, err := ask(ctx, db, "PRAGMA query_only")
	return answer == "1", err
}

func (mysql) readOnly(ctx context.Context, db DB) (bool, error) {
	answer, err := ask(ctx, db, "SELECT @@GLOBAL.read_only")
	return answer != "0" && answer != "" && !strings.EqualFold(answer, "off"), err
}

func (postgres) readOnly(ctx context.Context, db DB) (bool, error) {
	answer, err := ask(ctx, db, "SELECT pg_is_in_recovery()::text")
	return answer == "true", err
}

func (f sqlite) triggers(ctx context.Context, db DB, t Table) ([]string, error) {
	schema := t.Schema
	if schema == "" {
		schema = "main"
	}
	all, err := names(ctx, db, "SELECT name || ': ' || sql FROM "+f.quote(schema)+".sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE ORDER BY name", t.Name)
	var updates []string
	for _, trigger := range all {
		name, body, _ := strings.Cut(trigger, ": ")
		if head, _, _ := strings.Cut(strings.ToUpper(body), "BEGIN"); strings.Contains(head, "UPDATE") {
			updates = append(updates, name)
		}
	}
	return updates, err
}

func (mysql) triggers(ctx context.Context, db DB, t Table) ([]string, error) {
	return names(ctx, db, "SELECT trigger_name FROM information_schema.triggers WHERE event_object_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND event_object_table = ? AND event_manipulation = 'UPDATE' ORDER BY trigger_name", t.Schema, t.Name)
}

func (f postgres) triggers(ctx context.Context, db DB, t Table) ([]string, error) {
	name := f.quote(t.Name)
	if t.Schema != "" {
		name = f.quote(t.Schema) + "." + name
	}
	const update = 1 << 4 // TRIGGER_TYPE_UPDATE
	return names(ctx, db, fmt.Sprintf("SELECT tgname::text FROM pg_trigger WHERE tgrelid = to_regclass($1::text) AND NOT tgisinternal AND tgenabled <> 'D' AND tgtype & %d <> 0 ORDER BY tgname", update), name)
}
