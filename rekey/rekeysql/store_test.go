package rekeysql_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/rekey/rekeysql"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

func TestStoresPassTheSuite(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, d database) {
		t.Helper()
		for _, test := range []struct {
			name, create string
			key          func(i int) any
			missing      string
			text         bool
		}{
			{"integer key, binary value", "CREATE TABLE NAME (k BIGINT NOT NULL PRIMARY KEY, v " + d.blob + ")", func(i int) any { return i*7 - 3000 }, "1000000", false},
			{"text key, text value", "CREATE TABLE NAME (k VARCHAR(100) NOT NULL PRIMARY KEY, v " + d.text + ")", func(i int) any { return fmt.Sprintf("Clé %d/\"%d\"", i%7, i) }, "nobody", true},
		} {
			for _, connections := range []int{1, 8} {
				t.Run(fmt.Sprintf("%s, %d connections", test.name, connections), func(t *testing.T) {
					t.Parallel()
					db := d.open(t)
					db.SetMaxOpenConns(connections)
					name := d.table(t, db, test.create)
					store, err := rekeysql.Open(t.Context(), db, rekeysql.Table{Name: name, Key: []string{"k"}, Value: "v"})
					require.NoError(t, err)
					require.NoError(t, rekeytest.TestStore(t.Context(), rekeytest.Subject{
						Store: store, Missing: test.missing, Text: test.text,
						Fill: func(ctx context.Context, values [][]byte) error {
							return d.fill(ctx, db, name, test.key, values, test.text)
						},
					}))
				})
			}
		}
	})
}

// fill replaces the rows of a table with columns k and v.
func (d database) fill(ctx context.Context, db *sql.DB, name string, key func(int) any, values [][]byte, text bool) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	if _, err := tx.ExecContext(ctx, "DELETE FROM "+name); err != nil {
		return err
	}
	const perInsert = 100
	for from := 0; from < len(values); from += perInsert {
		var args []any
		for i, v := range values[from:min(from+perInsert, len(values))] {
			args = append(args, key(from+i), v)
			if text {
				args[len(args)-1] = string(v)
			}
		}
		rows := strings.TrimSuffix(strings.Repeat("(?, ?), ", len(args)/2), ", ")
		if _, err := tx.ExecContext(ctx, d.args("INSERT INTO "+name+" (k, v) VALUES "+rows), args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}
