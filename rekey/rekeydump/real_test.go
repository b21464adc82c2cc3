package rekeydump_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	mysqldriver "github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeydump"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

var made atomic.Int64

// server is a database with a program that dumps it.
type server struct {
	name, env, driver string
	blob, doc, more   string // types, and what a table has besides
	program           string
	variants          [][]string
	args              func(t *testing.T, dsn, table string, options []string) []string
}

var servers = []server{
	{
		name: "mariadb", env: "KEYHAUL_MYSQL_DSN", driver: "mysql", blob: "LONGBLOB", doc: "JSON",
		more:     ", computed VARCHAR(9) GENERATED ALWAYS AS (LEFT(note, 3)) VIRTUAL, `odd ``name` BIT(3) NOT NULL DEFAULT b'101', KEY odd_key (k), CHECK (k < 100000)",
		program:  "mariadb-dump",
		variants: [][]string{nil, {"--hex-blob"}, {"--skip-extended-insert", "--complete-insert"}, {"--compact"}, {"--skip-comments"}, {"--replace", "--skip-quote-names"}},
		args: func(t *testing.T, dsn, table string, options []string) []string {
			t.Helper()
			c, err := mysqldriver.ParseDSN(dsn)
			require.NoError(t, err)
			host, port, _ := strings.Cut(c.Addr, ":")
			return append(append([]string{"--no-defaults", "-h", host, "-P", port, "-u", c.User, "-p" + c.Passwd}, options...), c.DBName, table)
		},
	},
	{
		name: "postgres", env: "KEYHAUL_POSTGRES_DSN", driver: "pgx", blob: "bytea", doc: "jsonb",
		more:     `, computed text GENERATED ALWAYS AS (left(note, 3)) STORED, "odd ""name" int NOT NULL DEFAULT 7, serial bigint GENERATED ALWAYS AS IDENTITY, CHECK (k < 100000)`,
		program:  "pg_dump",
		variants: [][]string{nil, {"--inserts"}, {"--column-inserts"}, {"--rows-per-insert=7"}, {"--data-only"}},
		args: func(_ *testing.T, dsn, table string, options []string) []string {
			return append(options, "-d", dsn, "-t", table)
		},
	},
	{
		name: "sqlite", driver: "sqlite", blob: "BLOB", doc: "TEXT",
		more:     `, computed TEXT GENERATED ALWAYS AS (substr(note, 1, 3)) VIRTUAL, [odd "name] INT NOT NULL DEFAULT 7, key TEXT, CHECK (k < 100000)`,
		program:  "sqlite3",
		variants: [][]string{nil},
		args: func(_ *testing.T, dsn, table string, _ []string) []string {
			return []string{dsn, ".dump " + table}
		},
	},
}

func (s server) open(t *testing.T) (db *sql.DB, dsn string) {
	t.Helper()
	if _, err := exec.LookPath(s.program); err != nil {
		t.Skipf("needs %s", s.program)
	}
	dsn = os.Getenv(s.env)
	if s.env == "" {
		dsn = filepath.Join(t.TempDir(), "test.db")
	} else if dsn == "" {
		t.Skipf("needs %s", s.env)
	}
	db, err := sql.Open(s.driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db, dsn
}

func (s server) run(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if s.driver == "pgx" {
		for i := range args {
			statement = strings.Replace(statement, "?", fmt.Sprintf("$%d", i+1), 1)
		}
	}
	_, err := db.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err, statement)
}

// keys are two sides, one key of which belongs to nobody here.
type keys struct {
	client           *kmsmigrate.Client
	old, new, nobody *keytest.Key
}

func newKeys(tb testing.TB) keys {
	tb.Helper()
	k := keys{old: keytest.New(keytest.Config{}), new: keytest.New(keytest.Config{}), nobody: keytest.New(keytest.Config{KMS1: true})}
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: k.old, New: k.new})
	require.NoError(tb, err)
	k.client = client
	return k
}

// secret is in every plaintext and in the rows beside the ciphertext: no error may show it.
const secret = "PLANTED-SECRET"

func (k keys) of(tb testing.TB, i int) []byte {
	tb.Helper()
	key := []*keytest.Key{k.old, k.new, k.old, k.nobody}[i%4]
	value, err := key.Encrypt(context.Background(), fmt.Appendf(nil, "%s %d", secret, i), nil)
	require.NoError(tb, err)
	return value
}

// notes are texts that a dump has to escape.
var notes = []string{
	"plain " + secret, `it's "quoted" \ and \\ and \' `, "line\nbreak\r\nand\ttab", `\N`, `\.`, "", ";", "-- no comment", "/* none */ $$ $x$ ');", "ünï 漢字 🔑", "\\\n\\.\n", "a\x1ab\x08c",
}

func (s server) fill(t *testing.T, db *sql.DB, k keys) (table string) {
	t.Helper()
	table = fmt.Sprintf("dump%d_%d", os.Getpid(), made.Add(1))
	s.run(t, db, "CREATE TABLE "+table+" (k INT NOT NULL PRIMARY KEY, tenant VARCHAR(20), note "+map[bool]string{true: "VARCHAR(200)", false: "TEXT"}[s.name == "mariadb"]+
		", raw "+s.blob+", base TEXT, wrapped TEXT, payload "+s.blob+", doc "+s.doc+", forgotten TEXT"+s.more+")")
	t.Cleanup(func() { _, _ = db.ExecContext(context.Background(), "DROP TABLE "+table) })
	switch s.name {
	case "mariadb":
		s.run(t, db, "CREATE TRIGGER "+table+"_tr BEFORE UPDATE ON "+table+" FOR EACH ROW BEGIN /* a; 'comment */ SET @x = 'it''s'; INSERT INTO "+table+" VALUES (1, 2); END")
	case "sqlite":
		s.run(t, db, "CREATE TRIGGER "+table+"_tr AFTER UPDATE ON "+table+" BEGIN SELECT CASE WHEN 1 THEN ';' END; INSERT INTO "+table+" VALUES (1, 2); END")
	}
	payload := make([]byte, 300)
	for i := range payload {
		payload[i] = byte(i)
	}
	for i := range 300 {
		raw, base := any(k.of(t, i)), any(kmsmigrate.EncodeBlob(k.of(t, i+1)))
		switch i % 10 {
		case 7:
			raw = nil
		case 8:
			raw, base = []byte{}, ""
		case 9:
			raw, base = []byte("no ciphertext\x00'\\"), nil
		}
		wrapped, inside := any(kmsmigrate.EncodeBlob(k.of(t, i+2))), any(append(payload[i%256:], payload[:i%256]...))
		if i%50 == 0 {
			wrapped, inside = nil, nil
		}
		s.run(t, db, "INSERT INTO "+table+" (k, tenant, note, raw, base, wrapped, payload, doc, forgotten) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
			i, []string{"acme", "other's"}[i%2], notes[i%len(notes)], raw, base, wrapped, inside, fmt.Sprintf(`{"a":["\"",{"b":%q}]}`, kmsmigrate.EncodeBlob(k.of(t, i))), kmsmigrate.EncodeBlob(k.of(t, i+3)))
	}
	return table
}

// packed is the codec of the record of several columns: the first says whose it is.
type packed struct{ rekey.Codec }

func (p packed) Inspect(value []byte) (kmsmigrate.Info, error) {
	values, err := kmsmigrate.Unpack(value, 2)
	if err != nil {
		return kmsmigrate.Info{}, err
	}
	return rekey.Base64(p.Codec).Inspect(values[0])
}

func TestADumpHasTheNumbersOfTheDatabase(t *testing.T) {
	t.Parallel()
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			db, dsn := s.open(t)
			k := newKeys(t)
			table := s.fill(t, db, k)
			codecs := map[string]rekey.Codec{"raw": k.client, "base": rekey.Base64(k.client), "": packed{k.client}}
			byTenant := func(row map[string]string) kmsmigrate.EncryptionContext { return row }
			tables := []rekeysql.Table{
				{Name: table, Key: []string{"k"}, Value: "raw", Columns: []string{"tenant"}, Context: byTenant},
				{Name: table, Key: []string{"k"}, Value: "base", Columns: []string{"tenant"}, Context: byTenant},
				{Name: table, Key: []string{"k"}, Values: []string{"wrapped", "payload"}, Columns: []string{"tenant"}, Context: byTenant},
			}
			online := map[string]rekey.CensusReport{}
			for _, declared := range tables {
				store, err := rekeysql.Open(t.Context(), db, declared)
				require.NoError(t, err)
				report, err := rekey.TakeCensusWith(t.Context(), codecs[declared.Value], store, rekey.CensusOptions{By: func(rec rekey.Record) string { return rec.Context["tenant"] }})
				require.NoError(t, err)
				require.Len(t, report.Classes, 2)
				require.Positive(t, report.Held(kmsmigrate.SideOld))
				require.Positive(t, report.Held(kmsmigrate.SideNew))
				require.Positive(t, report.Unowned())
				online[strings.Join(append([]string{declared.Value}, declared.Values...), "+")] = report
			}
			config := rekeydump.Config{
				Codec: k.client, Tables: tables,
				CodecFor: func(table rekeysql.Table, _ rekey.Record) (rekey.Codec, error) { return codecs[table.Value], nil },
				By:       func(_ rekeysql.Table, rec rekey.Record) string { return rec.Context["tenant"] },
			}
			for _, options := range s.variants {
				t.Run(strings.Join(options, " "), func(t *testing.T) {
					t.Parallel()
					text, err := exec.CommandContext(t.Context(), s.program, s.args(t, dsn, table, options)...).Output()
					require.NoError(t, err)
					check := func(report rekeydump.Report) {
						seen := 0
						for _, c := range report.Columns {
							if !c.Declared {
								continue
							}
							key := map[string]string{"raw": "raw", "base": "base", "wrapped+payload": "+wrapped+payload"}[c.Column]
							want := online[key]
							require.Equal(t, want.Records, c.Census.Records, c.Column)
							require.Equal(t, want.Unreadable, c.Census.Unreadable, c.Column)
							require.Equal(t, want.Counts, c.Census.Counts, c.Column)
							require.True(t, c.Census.Complete)
							require.EqualValues(t, 300, c.Rows)
							require.Equal(t, c.Rows-c.Empty, c.Census.Records)
							require.Len(t, c.Classes, 2)
							for tenant, census := range c.Classes {
								require.Equal(t, want.Classes[tenant].Counts, census.Counts)
							}
							seen++
						}
						require.Equal(t, 3, seen)
					}
					config := config
					if slices.Contains(options, "--compact") {
						report, err := rekeydump.Read(t.Context(), bytes.NewReader(text), config)
						require.NoError(t, err)
						require.False(t, report.Columns[0].Census.Complete)
						config.NoTrailer = true
					}
					report, err := rekeydump.Read(t.Context(), bytes.NewReader(text), config)
					require.NoError(t, err)
					check(report)
					undeclared := map[string]int64{}
					for _, c := range report.Columns {
						if !c.Declared {
							undeclared[c.Column] = c.Census.Records
							require.Positive(t, c.Census.Held(kmsmigrate.SideOld))
							require.Positive(t, c.Census.Held(kmsmigrate.SideUnknown))
						}
					}
					require.Equal(t, map[string]int64{"doc": 300, "forgotten": 300}, undeclared)
					require.EqualValues(t, len(text), report.Bytes)

					// The same through gzip, in pieces, once in the smallest.
					pieces := iotest.HalfReader
					if options == nil {
						pieces = iotest.OneByteReader
					}
					var zipped bytes.Buffer
					z := gzip.NewWriter(&zipped)
					_, err = z.Write(text)
					require.NoError(t, err)
					require.NoError(t, z.Close())
					slow := config
					slow.OnlyDeclared = true
					report, err = rekeydump.Read(t.Context(), pieces(&zipped), slow)
					require.NoError(t, err)
					check(report)
					require.Len(t, report.Columns, 3)

					// Without declarations.
					report, err = rekeydump.Read(t.Context(), bytes.NewReader(text), rekeydump.Config{})
					require.NoError(t, err)
					found := map[string]int64{}
					for _, c := range report.Columns {
						found[c.Column] = c.Census.Records
						require.False(t, c.Declared)
						require.Zero(t, c.Census.Unreadable)
					}
					require.Equal(t, map[string]int64{"raw": 210, "base": 240, "wrapped": 294, "doc": 300, "forgotten": 300}, found)
					require.NotEmpty(t, report.Undiscoverable)

					// A dump that was cut off is never taken for a whole one.
					trailer := "ump completed"
					if slices.Contains(options, "--skip-comments") {
						trailer = "=@OLD_"
						require.Contains(t, string(text[len(text)-200:]), trailer)
					}
					last := bytes.LastIndex(text, []byte(map[string]string{"mariadb": trailer, "postgres": "complete", "sqlite": "COMMIT"}[s.name]))
					for _, at := range []int{len(text) / 3, len(text) / 2, last} {
						if at < 0 {
							require.Equal(t, []string{"--compact"}, options, "which writes no such line")
							continue
						}
						_, err := rekeydump.Read(t.Context(), bytes.NewReader(text[:at]), config)
						require.ErrorIs(t, err, kmsmigrate.ErrInvalid, "at %d", at)
						require.NotContains(t, err.Error(), secret)
					}
				})
			}
		})
	}
}
