package rekeysql

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// mysql is MySQL and MariaDB.
type mysql struct{ maria bool }

func (mysql) quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func (mysql) placeholder(int, column) string { return "?" }

func (f mysql) keyText(c column) string { return f.quote(c.name) }

// swap compares bytes, not text: under most collations "QUJD" = "qujd ", and CAST(… AS BINARY) is what is not fooled. The
// key is compared as it is, so that its index is used.
func (f mysql) swap(ctx context.Context, s *Store, key []any, was, will [][]byte) (n int64, err error) {
	q := &query{flavor: s.flavor}
	if f.maria {
		q.text("SET STATEMENT innodb_lock_wait_timeout = 0 FOR ")
	}
	q.text("UPDATE " + s.name + " SET ")
	s.assign(q, will, plainArg)
	q.text(" WHERE ")
	s.matching(q, key, was, func(q *query, c column, value []byte) {
		name := s.flavor.quote(c.name)
		if c.text {
			// Of a column in another character set the connection reads the same characters in utf8mb4.
			name = "CONVERT(" + name + " USING utf8mb4)"
		}
		q.text("CAST(" + name + " AS BINARY) = ")
		q.arg(value, c)
	})
	if f.maria {
		n, err = s.exec(ctx, q)
	} else {
		n, err = f.hurried(ctx, s, q)
	}
	if s.inTx && !s.costly && err != nil && f.about(err) == aboutLock && !strings.Contains(err.Error(), "1213") {
		return 0, nil // a lock that somebody holds is a conflict inside the caller's transaction; a deadlock has ended it
	}
	return n, err
}

// hurried runs a statement with the shortest lock wait that MySQL has, one second, on one connection, and gives the
// connection back as it was.
func (f mysql) hurried(ctx context.Context, s *Store, q *query) (n int64, err error) {
	db := s.db
	if pool, ok := db.(*sql.DB); ok {
		conn, err := pool.Conn(ctx)
		if err != nil {
			return 0, err
		}
		defer func() { _ = conn.Close() }()
		db = conn
	}
	if _, err := db.ExecContext(ctx, "SET @keyhaul_wait = @@SESSION.innodb_lock_wait_timeout, SESSION innodb_lock_wait_timeout = 1"); err != nil {
		return 0, err
	}
	n, err = affected(db.ExecContext(ctx, q.String(), q.args...))
	// Also when ctx is done. If it fails the connection is lost, and with it the setting.
	if _, restore := db.ExecContext(context.WithoutCancel(ctx), "SET SESSION innodb_lock_wait_timeout = @keyhaul_wait"); err == nil && restore != nil && n == 0 {
		err = restore
	}
	return n, err
}

func (mysql) about(err error) topic {
	// The driver's type is not imported; its text has been "Error 1205 (HY000): …", or "Error 1205: …", for ten years.
	text := err.Error()
	at := strings.Index(text, "Error ")
	if at < 0 {
		return aboutStore
	}
	var code int
	if _, err := fmt.Sscanf(text[at:], "Error %d", &code); err != nil {
		return aboutStore
	}
	switch code {
	case 1205, 1213, 3572: // lock wait timeout, deadlock, NOWAIT
		return aboutLock
	case 1048, 1062, 1216, 1217, 1264, 1265, 1366, 1406, 1451, 1452, 1644, 3819, 4025: // constraints, truncation, SIGNAL
		return aboutValue
	default:
		return aboutStore
	}
}

func (f mysql) describe(ctx context.Context, db DB, t Table) (d definition, err error) {
	mode, err := ask(ctx, db, "SELECT @@SESSION.sql_mode")
	if err != nil {
		return d, t.wrong("asking for the sql_mode: %v", err)
	}
	if !strings.Contains(mode, "STRICT_TRANS_TABLES") && !strings.Contains(mode, "STRICT_ALL_TABLES") {
		return d, t.wrong("the connection's sql_mode is %q: without STRICT_TRANS_TABLES the database cuts what does not fit, silently; open a connection with sql_mode=STRICT_TRANS_TABLES for the rewriting", mode)
	}
	rollsBack, err := ask(ctx, db, "SELECT @@GLOBAL.innodb_rollback_on_timeout")
	if err != nil {
		return d, t.wrong("asking for innodb_rollback_on_timeout: %v", err)
	}
	d.costly = rollsBack != "0" && !strings.EqualFold(rollsBack, "off")
	kind, err := ask(ctx, db, "SELECT table_type FROM information_schema.tables WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ?", t.Schema, t.Name)
	switch {
	case err != nil:
		return d, t.wrong("reading the catalogue: %v", err)
	case kind == "":
		return d, t.wrong("there is no such table, or no permission to see it")
	case kind != "BASE TABLE":
		return d, t.wrong("it is a %s: name the table behind it", strings.ToLower(kind))
	}
	err = each(ctx, db, `SELECT column_name, data_type, column_type, is_nullable, COALESCE(character_maximum_length, 0), COALESCE(character_octet_length, 0), extra
		FROM information_schema.columns WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ? ORDER BY ordinal_position`,
		[]any{t.Schema, t.Name}, func(rows *sql.Rows) error {
			var c column
			var base, nullable, extra string
			var chars, octets uint64
			if err := rows.Scan(&c.name, &base, &c.kind, &nullable, &chars, &octets, &extra); err != nil {
				return err
			}
			c.nullable = nullable == "YES"
			c.generated = strings.Contains(strings.ToUpper(extra), "GENERATED") && !strings.Contains(strings.ToUpper(extra), "DEFAULT_GENERATED")
			c.bumped = strings.Contains(strings.ToLower(extra), "on update")
			f.kind(&c, strings.ToLower(base), int64(min(chars, 1<<62)), int64(min(octets, 1<<62)))
			d.columns = append(d.columns, c)
			return nil
		})
	if err != nil {
		return d, t.wrong("reading the catalogue: %v", err)
	}
	indexes := map[string][]string{}
	err = each(ctx, db, `SELECT index_name, COALESCE(column_name, ''), sub_part IS NOT NULL FROM information_schema.statistics
		WHERE table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND table_name = ? AND non_unique = 0 ORDER BY index_name, seq_in_index`,
		[]any{t.Schema, t.Name}, func(rows *sql.Rows) error {
			var index, name string
			var prefix bool
			if err := rows.Scan(&index, &name, &prefix); err != nil {
				return err
			}
			if prefix { // unique in its first characters makes the whole unique too, but is not what was declared
				name = ""
			}
			indexes[index] = append(indexes[index], name)
			return nil
		})
	if err != nil {
		return d, t.wrong("reading the catalogue: %v", err)
	}
	for _, columns := range indexes {
		d.indexes = append(d.indexes, columns)
	}
	return d, nil
}

// kind tells what a type can hold and whether it can be a key.
func (mysql) kind(c *column, base string, chars, octets int64) {
	switch base {
	case "tinyint", "smallint", "mediumint", "int", "bigint":
		c.key = keyInt
	case "char", "varchar":
		c.key, c.text, c.chars, c.padded = keyText, true, chars, base == "char"
	case "tinytext", "text", "mediumtext", "longtext": // these are bounded in bytes
		c.text, c.bytes = true, octets
	case "binary", "varbinary":
		c.key, c.binary, c.bytes, c.exact = keyBytes, true, octets, base == "binary"
	case "tinyblob", "blob", "mediumblob", "longblob":
		c.binary, c.bytes = true, octets
	case "uuid": // MariaDB 10.7
		c.key = keyUUID
	}
}
