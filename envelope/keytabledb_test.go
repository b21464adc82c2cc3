package envelope_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// tableDB is a database that a key table can be in.
type tableDB struct {
	Driver, DSN string
	bytes       string // its type for bytes
	short       string // a type for fewer bytes than entries have, or that is none of bytes; empty where there is no such thing
}

// onEachDatabase runs a test on every database that is there. CI has them all, and fails where a test was skipped.
func onEachDatabase(t *testing.T, test func(t *testing.T, d tableDB)) {
	t.Helper()
	for name, d := range map[string]struct {
		env string
		tableDB
		rare bool
	}{
		"sqlite":   {"", tableDB{"sqlite", "", "BLOB", ""}, false},
		"mariadb":  {"KEYHAUL_MYSQL_DSN", tableDB{"mysql", "", "BLOB", "VARBINARY(200)"}, false},
		"postgres": {"KEYHAUL_POSTGRES_DSN", tableDB{"pgx", "", "bytea", "text"}, false},
		"mysql":    {"KEYHAUL_ORACLE_MYSQL_DSN", tableDB{"mysql", "", "BLOB", "VARBINARY(200)"}, true},
	} {
		d.DSN = os.Getenv(d.env)
		if d.env == "" {
			d.DSN = "file:" + filepath.Join(t.TempDir(), "keys.db") + "?_pragma=journal_mode(wal)&_pragma=busy_timeout(10000)"
		}
		if d.rare && d.DSN == "" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if d.DSN == "" {
				t.Skipf("needs %s", d.env)
			}
			test(t, d.tableDB)
		})
	}
}

func (d tableDB) open(tb testing.TB) *sql.DB {
	tb.Helper()
	db, err := sql.Open(d.Driver, d.DSN)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return db
}

var keyTables atomic.Int64

// table makes a table of the test's own.
func (d tableDB) table(tb testing.TB, db *sql.DB, columns string) string {
	tb.Helper()
	name := fmt.Sprintf("data_keys_%d_%d", os.Getpid(), keyTables.Add(1))
	_, err := db.ExecContext(tb.Context(), "CREATE TABLE "+name+" ("+columns+")")
	require.NoError(tb, err)
	tb.Cleanup(func() { _, _ = db.ExecContext(context.Background(), "DROP TABLE "+name) })
	return name
}

func (d tableDB) keyTable(tb testing.TB, db *sql.DB, name string) *envelope.SQLKeyTable {
	tb.Helper()
	table, err := envelope.NewSQLKeyTable(db, name, d.Driver == "pgx")
	require.NoError(tb, err)
	return table
}

func TestAKeyTableInEveryDatabase(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, d tableDB) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "id CHAR(32) PRIMARY KEY, entry "+d.bytes+" NOT NULL")
		table := d.keyTable(t, db, name)
		require.NoError(t, table.Check(t.Context()))
		var rows int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+name).Scan(&rows))
		require.Zero(t, rows, "a check leaves nothing")

		cfg := envelope.Config{Table: table, TableContext: kmsmigrate.EncryptionContext{"purpose": "data keys"}}
		w := newWorld(t, kmsmigrate.ReadBoth)
		record := seal(t, w.envelope(t, cfg), "in a database", customers)
		requireOpens(t, w.envelope(t, cfg), record, customers, "in a database")

		every := make([]byte, 2048)
		for i := range every {
			every[i] = byte(i)
		}
		require.NoError(t, table.Add(t.Context(), envelope.KeyID{1}, every))
		require.NoError(t, table.Add(t.Context(), envelope.KeyID{1}, []byte("second")), "an id that is there stays as it is")
		entry, err := table.Get(t.Context(), envelope.KeyID{1})
		require.NoError(t, err)
		require.Equal(t, every, entry)
		_, err = table.Get(t.Context(), envelope.KeyID{2})
		require.ErrorIs(t, err, envelope.ErrNoDataKey)

		done, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = table.Get(done, envelope.KeyID{1})
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorIs(t, table.Check(done), context.Canceled)
	})
}

func TestATableThatIsNotAsItMustBeIsRefused(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, d tableDB) {
		t.Helper()
		db := d.open(t)
		refused := func(name, says string) {
			t.Helper()
			table := d.keyTable(t, db, name)
			err := table.Check(t.Context())
			require.ErrorIs(t, err, kmsmigrate.ErrInvalid, says)
			require.ErrorContains(t, err, says)
			require.ErrorContains(t, err, name)
		}
		absent := d.keyTable(t, db, "there_is_no_such_table")
		refused("there_is_no_such_table", "columns id and entry")
		_, err := absent.Get(t.Context(), envelope.KeyID{})
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		require.NotErrorIs(t, err, kmsmigrate.ErrUnavailable)
		w := newWorld(t, kmsmigrate.OldOnly)
		_, err = w.envelope(t, envelope.Config{Table: absent}).Seal(t.Context(), []byte("planted plaintext"), nil)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
		require.ErrorContains(t, err, "columns id and entry")
		require.NotContains(t, err.Error(), "planted")

		refused(d.table(t, db, "id CHAR(32) PRIMARY KEY, value "+d.bytes), "columns id and entry")
		refused(d.table(t, db, "id CHAR(32), entry "+d.bytes), "primary key")
		if d.short != "" {
			short := d.table(t, db, "id CHAR(32) PRIMARY KEY, entry "+d.short)
			refused(short, "2 KB")
			err := d.keyTable(t, db, short).Add(t.Context(), envelope.KeyID{1}, bytes.Repeat([]byte{0xff, 0}, 300))
			require.Error(t, err)
			refused(d.table(t, db, "id CHAR(10) PRIMARY KEY, entry "+d.bytes), "32 characters")
		}
		if d.Driver == "mysql" {
			d.cutsSilently(t)
		}
	})
}

// Without its strict mode MySQL cuts what does not fit, and calls it a warning.
func (d tableDB) cutsSilently(t *testing.T) {
	t.Helper()
	d.DSN += "&sql_mode=%27%27"
	db := d.open(t)
	table := d.keyTable(t, db, d.table(t, db, "id CHAR(32) PRIMARY KEY, entry "+d.short))
	err := table.Check(t.Context())
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	require.ErrorContains(t, err, "other bytes")
	err = table.Add(t.Context(), envelope.KeyID{1}, make([]byte, 300))
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid, "nothing may be sealed with a data key whose entry was cut")
}

func TestADatabaseThatIsDownIsUnavailable(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("pgx", "postgres://nobody@127.0.0.1:1/none?sslmode=disable&connect_timeout=1")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	table, err := envelope.NewSQLKeyTable(db, "data_keys", true)
	require.NoError(t, err)
	require.ErrorIs(t, table.Check(t.Context()), kmsmigrate.ErrUnavailable)
	_, err = table.Get(t.Context(), envelope.KeyID{})
	require.ErrorIs(t, err, kmsmigrate.ErrUnavailable)
	require.NotErrorIs(t, err, envelope.ErrNoDataKey)
	require.ErrorIs(t, table.Add(t.Context(), envelope.KeyID{}, []byte("x")), kmsmigrate.ErrUnavailable)
}

// keyTableWork is what one process is told, and what it answers.
type keyTableWork struct {
	DB     tableDB
	Table  string
	Move   []string // records with their own copies, in hex
	Moved  []string
	Sealed []string
}

const keyTableWorker = "KEYHAUL_KEY_TABLE_WORKER"

// TestKeyTableWorker is a process of the next test.
func TestKeyTableWorker(t *testing.T) { //nolint:paralleltest // it is alone in its process
	if os.Getenv(keyTableWorker) == "" {
		return
	}
	var work keyTableWork
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(line, &work))
	db := work.DB.open(t)
	e := newEnvelope(t, envelope.Config{
		Keys: clientOf(t, kmsmigrate.Rewrite, esdkOld, esdkNew), Table: work.DB.keyTable(t, db, work.Table), TableContext: customers,
	})
	_, err = fmt.Fprintln(os.Stdout, "ready")
	require.NoError(t, err)
	_, err = in.ReadBytes('\n') // until all are
	require.NoError(t, err)
	work.Moved, work.Sealed = make([]string, len(work.Move)), make([]string, 20)
	errs := make([]error, len(work.Move)+len(work.Sealed))
	var group sync.WaitGroup
	for i, record := range work.Move {
		group.Go(func() {
			raw, _ := hex.DecodeString(record)
			renewed, err := e.Renew(context.Background(), raw, nil)
			work.Moved[i], errs[i] = hex.EncodeToString(renewed.Ciphertext), err
		})
	}
	for i := range work.Sealed {
		group.Go(func() {
			record, err := e.Seal(context.Background(), []byte("sealed by a process"), nil)
			work.Sealed[i], errs[len(work.Move)+i] = hex.EncodeToString(record), err
		})
	}
	group.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	out, err := json.Marshal(work)
	require.NoError(t, err)
	_, err = fmt.Fprintln(os.Stdout, string(out))
	require.NoError(t, err)
}

// Processes that have never heard of each other seal into one table, and move records of the same data keys into it.
func TestProcessesShareAKeyTable(t *testing.T) {
	t.Parallel()
	onEachDatabase(t, func(t *testing.T, d tableDB) {
		t.Helper()
		db := d.open(t)
		name := d.table(t, db, "id CHAR(32) PRIMARY KEY, entry "+d.bytes+" NOT NULL")
		work := keyTableWork{DB: d, Table: name}
		for range 3 { // data keys, of four records each
			writer := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.OldOnly, esdkOld, nil)})
			for range 4 {
				work.Move = append(work.Move, hex.EncodeToString(seal(t, writer, "moved by a process", nil)))
			}
		}
		const processes = 3
		var all [processes]keyTableWork
		runWorkers(t, work, all[:])

		var rows int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+name).Scan(&rows))
		require.Equal(t, 3+processes, rows, "one entry for each data key that was moved, and one for each process")
		reader := newEnvelope(t, envelope.Config{Keys: clientOf(t, kmsmigrate.NewOnly, nil, esdkNew), Table: d.keyTable(t, db, name), TableContext: customers})
		for _, w := range all {
			require.Equal(t, all[0].Moved, w.Moved, "all agree on where a data key is")
			for i, record := range slices.Concat(w.Moved, w.Sealed) {
				want := "moved by a process"
				if i >= len(w.Moved) {
					want = "sealed by a process"
				}
				requireOpens(t, reader, unhex(t, record), nil, want)
			}
		}
	})
}

// runWorkers has processes do the same work at the same time.
func runWorkers(t *testing.T, work keyTableWork, answers []keyTableWork) {
	t.Helper()
	told, err := json.Marshal(work)
	require.NoError(t, err)
	type process struct {
		cmd    *exec.Cmd
		in     io.WriteCloser
		out    *bufio.Reader
		stderr *bytes.Buffer
	}
	var all []process
	for range answers {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKeyTableWorker$")
		cmd.Env = append(os.Environ(), keyTableWorker+"=1")
		in, err := cmd.StdinPipe()
		require.NoError(t, err)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		p := process{cmd, in, bufio.NewReader(out), new(bytes.Buffer)}
		cmd.Stderr = p.stderr
		require.NoError(t, cmd.Start())
		_, err = in.Write(append(told, '\n'))
		require.NoError(t, err)
		all = append(all, p)
	}
	for _, p := range all {
		line, err := p.out.ReadString('\n')
		require.NoError(t, err, p.stderr)
		require.Equal(t, "ready\n", line)
	}
	for _, p := range all {
		_, err := p.in.Write([]byte("\n"))
		require.NoError(t, err)
	}
	for i, p := range all {
		line, err := p.out.ReadBytes('\n')
		require.NoError(t, err, p.stderr)
		require.NoError(t, json.Unmarshal(line, &answers[i]), string(line))
		_, err = io.Copy(io.Discard, p.out)
		require.NoError(t, err)
		require.NoError(t, p.cmd.Wait())
	}
}
