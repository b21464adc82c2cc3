package rekeysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// ReplicationLag returns a load for rekey.Options.Load: a sweep waits while one of the replicas is further behind than most,
// or does not tell. Give it connections to the replicas themselves: MySQL and MariaDB tell nothing of it on the primary, and
// PostgreSQL only what the replicas reported last.
//
// For rekey.Options.Steer, which makes a sweep narrower instead of stopping it, divide what [Lag] returns by what can be
// borne.
func ReplicationLag(most time.Duration, replicas ...DB) func(context.Context) error {
	return func(ctx context.Context) error {
		if most <= 0 || len(replicas) == 0 {
			return fmt.Errorf("rekeysql: ReplicationLag needs a lag that is borne, and a replica: %w", kmsmigrate.ErrInvalid)
		}
		for _, db := range replicas {
			behind, err := Lag(ctx, db)
			if err != nil {
				return err
			}
			if behind > most {
				return fmt.Errorf("rekeysql: a replica is %s behind, and %s is borne", behind.Round(time.Millisecond), most)
			}
		}
		return nil
	}
}

// Lag returns how far a replica is behind. A replica that is not connected or does not apply what it gets has no lag but an
// error, as has a database that is no replica and no PostgreSQL primary with one. On MySQL it needs the privilege REPLICATION
// CLIENT (MariaDB: REPLICA MONITOR), on a PostgreSQL primary the role pg_monitor.
func Lag(ctx context.Context, db DB) (time.Duration, error) {
	if db == nil {
		return 0, fmt.Errorf("rekeysql: the database is nil: %w", kmsmigrate.ErrInvalid)
	}
	f, err := flavorOf(ctx, db, Auto)
	if err != nil {
		return 0, err
	}
	var seconds float64
	switch f := f.(type) {
	case postgres:
		seconds, err = f.lag(ctx, db)
	case mysql:
		seconds, err = f.lag(ctx, db)
	default:
		err = fmt.Errorf("it has no replication: %w", kmsmigrate.ErrInvalid)
	}
	if err != nil {
		return 0, fmt.Errorf("rekeysql: asking for the replication lag: %w", err)
	}
	if math.IsNaN(seconds) || seconds > 1e9 {
		seconds = 1e9
	}
	return time.Duration(max(0, seconds) * float64(time.Second)), nil
}

var (
	errNoReplica = errors.New("this is no replica, and none tells this database how far behind it is")
	errStopped   = errors.New("a replica is not connected, does not apply what it gets, or may not be asked")
)

// lag asks a replica when the last transaction that it has applied was committed, unless it has applied all that it got;
// and a primary what its replicas report.
func (postgres) lag(ctx context.Context, db DB) (float64, error) {
	replica, err := ask(ctx, db, "SELECT pg_is_in_recovery()::text")
	if err != nil {
		return 0, err
	}
	query := `SELECT CASE WHEN state = 'streaming' THEN COALESCE(EXTRACT(EPOCH FROM replay_lag), CASE WHEN replay_lsn >= pg_current_wal_flush_lsn() THEN 0 END)::float8 END
		FROM pg_stat_replication`
	if replica == "true" {
		query = `SELECT CASE WHEN r.status = 'streaming' THEN
			CASE WHEN pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn() THEN 0
			ELSE EXTRACT(EPOCH FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END::float8 END
			FROM (SELECT 1) one LEFT JOIN pg_stat_wal_receiver r ON true`
	}
	most, rows := 0.0, 0
	err = each(ctx, db, query, nil, func(row *sql.Rows) error {
		var behind sql.NullFloat64
		if err := row.Scan(&behind); err != nil {
			return err
		}
		if !behind.Valid {
			return errStopped
		}
		most, rows = max(most, behind.Float64), rows+1
		return nil
	})
	if err == nil && rows == 0 {
		err = errNoReplica
	}
	return most, err
}

// lag reads SHOW REPLICA STATUS, one row for each source, whose columns have other names in other versions.
func (mysql) lag(ctx context.Context, db DB) (most float64, err error) {
	rows, err := db.QueryContext(ctx, "SHOW REPLICA STATUS")
	if err != nil && strings.Contains(err.Error(), "Error 1064") { // before MySQL 8.0.22 and MariaDB 10.5
		rows, err = db.QueryContext(ctx, "SHOW SLAVE STATUS")
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return 0, err
	}
	cells, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range cells {
		into[i] = &cells[i]
	}
	found := false
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return 0, err
		}
		behind := math.NaN()
		for i, column := range columns {
			switch strings.ToLower(column) {
			case "seconds_behind_master", "seconds_behind_source":
				if seconds, err := strconv.ParseFloat(cells[i].String, 64); cells[i].Valid && err == nil {
					behind = seconds
				}
			case "slave_io_running", "replica_io_running", "slave_sql_running", "replica_sql_running":
				if !strings.EqualFold(cells[i].String, "yes") {
					return 0, errStopped
				}
			}
		}
		if math.IsNaN(behind) { // NULL: not connected
			return 0, errStopped
		}
		most, found = max(most, behind), true
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	if !found {
		return 0, errNoReplica
	}
	return most, nil
}
