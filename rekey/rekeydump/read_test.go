package rekeydump_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/rekey/rekeydump"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// seen is a codec that keeps what it is asked about.
type seen struct{ values []string }

func (s *seen) Inspect(value []byte) (kmsmigrate.Info, error) {
	s.values = append(s.values, string(value))
	return kmsmigrate.Info{Layout: "seen", Copies: []kmsmigrate.Copy{{Side: kmsmigrate.SideOld, Owned: kmsmigrate.Mine}}}, nil
}

func (*seen) Open(context.Context, []byte, kmsmigrate.EncryptionContext) (kmsmigrate.Opened, error) {
	return kmsmigrate.Opened{}, errors.New("a census opens nothing")
}

func (*seen) Renew(context.Context, []byte, kmsmigrate.EncryptionContext) (kmsmigrate.Renewed, error) {
	return kmsmigrate.Renewed{}, errors.New("a census renews nothing")
}

func TestValuesAreReadAsTheDatabaseHasThem(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		dialect rekeysql.Dialect
		dump    string
		want    []string
	}{
		{"mysql strings", rekeysql.MySQL, "INSERT INTO `t` VALUES (1,'a\\0b\\n\\r\\Z\\t\\b\\\\\\'\\\"''\\%c');", []string{"a\x00b\n\r\x1a\t\b\\'\"'%c"}},
		{"mysql blobs", rekeysql.MySQL, "INSERT INTO t VALUES (1,0x4B45),(2,_binary 'KE\\'\\0'),(3,X'4b45'),(4,x''),(5,_utf8mb4 0x4B),(6,\"q\"\"\\\"\"),(7,N'n');", []string{"KE", "KE'\x00", "KE", "K", "q\"\"", "n"}},
		{"mysql numbers and words", rekeysql.MySQL, "INSERT IGNORE INTO t VALUES (-1.5e+10,NULL),(b'1',DEFAULT),(TRUE, 'x' ) ;", []string{"x"}},
		{"mysql comments", rekeysql.MySQL, "# INSERT INTO t VALUES (1,'no');\n-- INSERT INTO t VALUES (1,'no');\n/*!40000 ALTER TABLE `t` DISABLE KEYS ; ' */;\nINSERT /* ' */ INTO t (k,v) VALUES /* ' */ (1,'/* yes */ -- # ;');", []string{"/* yes */ -- # ;"}},
		{"mysql routines", rekeysql.MySQL, "DELIMITER ;;\n/*!50003 CREATE TRIGGER a BEFORE UPDATE ON t FOR EACH ROW BEGIN /* ' */ INSERT INTO t VALUES (1,'no'); END */;;\nDELIMITER ;\nINSERT INTO t VALUES (1,'yes');", []string{"yes"}},
		{"mysql databases", rekeysql.MySQL, "USE `other`;\nINSERT INTO `t` VALUES (1,'no');\nUSE `shop`;\nREPLACE INTO `shop`.`t` (`v`,`k`) VALUES ('yes',1);", []string{"yes"}},
		{"postgres copy", rekeysql.PostgreSQL, "COPY shop.t (k, v) FROM stdin;\n1\ta\\tb\\nc\\\\d\\b\\f\\r\\v\\x41\\101\\q\n2\t\\N\n3\t\\\\N\n4\t\n\\.\n\nSELECT 1;", []string{"a\tb\nc\\d\b\f\r\vAAq", `\N`}},
		{"postgres bytea", rekeysql.PostgreSQL, "CREATE TABLE shop.t (k integer, v bytea);\nCOPY shop.t FROM stdin;\n1\t\\\\x4b4500\n2\tK\\\\000\\\\\\\\E\n\\.\n", []string{"KE\x00", "K\x00\\E"}},
		{"postgres text that looks like bytea", rekeysql.PostgreSQL, "CREATE TABLE shop.t (k integer, v text);\nINSERT INTO shop.t VALUES (1, '\\x4b45');", []string{`\x4b45`}},
		{"postgres inserts", rekeysql.PostgreSQL, "INSERT INTO shop.t VALUES (1, '\\x4b45'), (2, 'a\\''b'), (3, E'a\\'\\n\\\\'), (4, NULL), (5, '\\x4b'::pg_catalog.bytea), (6, B'101') ON CONFLICT DO NOTHING;", []string{"KE", `a\'b`, "a'\n\\", "K", "101"}},
		{"postgres old strings", rekeysql.PostgreSQL, "SET standard_conforming_strings = off;\nINSERT INTO shop.t VALUES (1, 'a\\'b\\\\');", []string{`a'b\`}},
		{"postgres functions", rekeysql.PostgreSQL, "CREATE FUNCTION f() RETURNS int AS $_$ BEGIN INSERT INTO shop.t VALUES (1,'no'); ' $$ $_$ LANGUAGE plpgsql;\nCREATE FUNCTION g() RETURNS int LANGUAGE sql\n BEGIN ATOMIC\n INSERT INTO shop.t VALUES (1, 'no');\n SELECT CASE WHEN true THEN 1 END;\nEND;\n/* a /* nested */ ' */ INSERT INTO \"shop\".\"t\" (k, v) OVERRIDING SYSTEM VALUE VALUES (1, 'yes');", []string{"yes"}},
		{"postgres partitions", rekeysql.PostgreSQL, "CREATE TABLE shop.t (k int, v text) PARTITION BY RANGE (k);\nCREATE TABLE shop.t1 (k int, v text);\nALTER TABLE ONLY shop.t ATTACH PARTITION shop.t1 FOR VALUES FROM (1) TO (9);\nCOPY shop.t1 (k, v) FROM stdin;\n1\tyes\n\\.\n", []string{"yes"}},
		{"postgres psql commands", rekeysql.PostgreSQL, "\\restrict ab'c\n\\connect other\nINSERT INTO shop.t VALUES (1,'yes');\n\\unrestrict ab'c\n", []string{"yes"}},
		{"sqlite", rekeysql.SQLite, "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE IF NOT EXISTS [t](key TEXT, v, \"c\" AS (v || 'x'), PRIMARY KEY(key));\nINSERT INTO t VALUES('a\\',X'4b45');\nINSERT INTO t VALUES(1,replace(replace('a\\nb\\r','\\n',char(10)),'\\r',char(13)));\nINSERT INTO t VALUES(2,unistr('\\u000aK\\\\'));\nINSERT INTO t VALUES(3,1.5);\nCREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO t VALUES(1,'no'); SELECT CASE WHEN 1 THEN 2 END; END;\nCOMMIT;\n", []string{"KE", "a\nb\r", "\nK\\", "1.5"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			codec := new(seen)
			dump := test.dump
			if test.dialect == rekeysql.MySQL && !strings.Contains(dump, "USE") {
				dump = "CREATE TABLE `t` (`k` int, `v` blob COMMENT 'it''s, (a)', `g` int GENERATED ALWAYS AS (`k` + (1)) STORED, KEY `v` (`v`), PRIMARY KEY (`k`));\n" + dump
			}
			if test.dialect == rekeysql.PostgreSQL && !strings.Contains(dump, "CREATE TABLE") {
				dump = strings.ReplaceAll(dump, "INTO shop.t VALUES", "INTO shop.t (k, v) VALUES")
			}
			report, err := rekeydump.Read(t.Context(), strings.NewReader(dump), rekeydump.Config{
				Dialect: test.dialect, Codec: codec, Tables: []rekeysql.Table{{Schema: "shop", Name: "t", Value: "v"}},
			})
			require.NoError(t, err)
			require.Equal(t, test.want, codec.values)
			require.EqualValues(t, len(test.want), report.Columns[0].Census.Held(kmsmigrate.SideOld))
		})
	}
}

func TestErrorsNameTheLineAndNoValue(t *testing.T) {
	t.Parallel()
	const begin = "-- MySQL dump 10.13\nCREATE TABLE `t` (\n  `k` int,\n  `v` text\n);\n" // the next line is 6
	plain := secret + "\n"
	for _, test := range []struct{ dump, want string }{
		{begin + "INSERT INTO `t` VALUES (1,'" + secret + "',3);", "line 6: a row of t has 3 values, and the table 2 columns"},
		{begin + "\nINSERT INTO `t` VALUES\n(1,'" + plain + "'),\n(2,'" + secret + "' 3);", "line 10: a comma or a parenthesis"},
		{begin + "INSERT INTO `t` VALUES (1,0x123);", "line 6: a hexadecimal value has an odd number of digits"},
		{begin + "INSERT INTO `t` VALUES (1,concat('" + secret + "'));", "line 6"},
		{begin + "INSERT INTO `t` SELECT '" + secret + "';", "line 6: an INSERT into t has no VALUES"},
		{begin + "INSERT INTO `t` VALUES (1,'" + secret, "line 6: the dump ends inside a statement"},
		{begin + "INSERT INTO `t` VALUES (1,'" + secret + "');\n", "line 7: the dump ends without the line that its program writes last"},
		{begin + "INSERT INTO `t` VALUES (1,'" + secret + "');\n-- Dump completed", ""},
		{begin + "INSERT INTO `t` (`k`,`w`) VALUES (1,'" + secret + "');", `line 6: t has no column "v" here; it has k, w`},
		{"-- MySQL dump\nCREATE TABLE `t` (`k` int);", `line 2: t has no column "v" here; it has k`},
		{"-- MySQL dump \nCREATE TABLE `other` (`k` int);\n-- Dump completed", "declared and not there: t"},
		{"-- MySQL dump \nINSERT INTO `t` VALUES (1,'" + secret + "');", "line 2: nothing tells which columns t has"},
		{secret, "line 1: this does not begin as a dump"},
		{"PGDMP\x01", "pg_restore -f -"},
		{"SQLite format 3\x00", "open it with rekeysql"},
		{"\x28\xb5\x2f\xfd", "zstd"},
		{"\x1f\x8b" + secret, "undoing gzip"},
		{"BEGIN TRANSACTION;\nCREATE TABLE t(k,v);\nROLLBACK; -- due to errors\n", "line 3: the dump ends with ROLLBACK"},
		{"BEGIN TRANSACTION;\nCREATE TABLE t(k,v);\nINSERT INTO t VALUES(1,'" + secret + "');\n", "line 4: the dump ends without"},
		{"-- PostgreSQL database dump\nCREATE TABLE t (k int, v text);\nCOPY t (k, v) FROM stdin;\n1\t" + secret + "\t3\n\\.\n", "line 4: a row of t has 3 values"},
		{"-- PostgreSQL database dump\nCREATE TABLE t (k int, v text);\nCOPY t (k, v) FROM stdin;\n1\t" + secret + "\n", "line 5: the dump ends inside a statement"},
	} {
		report, err := rekeydump.Read(t.Context(), strings.NewReader(test.dump), rekeydump.Config{Codec: new(seen), Tables: []rekeysql.Table{{Name: "t", Value: "v"}}})
		if test.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, test.want)
		require.NotContains(t, err.Error(), secret)
		for _, c := range report.Columns {
			require.False(t, c.Census.Complete)
		}
	}
	for _, c := range []rekeydump.Config{
		{MaxValue: -1},
		{Codec: new(seen), Tables: []rekeysql.Table{{Value: "v"}}},
		{Codec: new(seen), Tables: []rekeysql.Table{{Name: "t"}}},
		{Codec: new(seen), Tables: []rekeysql.Table{{Name: "t", Value: "v", Values: []string{"v"}}}},
		{Tables: []rekeysql.Table{{Name: "t", Value: "v"}}},
	} {
		_, err := rekeydump.Read(t.Context(), strings.NewReader(""), c)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := rekeydump.Read(ctx, strings.NewReader(begin), rekeydump.Config{})
	require.ErrorIs(t, err, context.Canceled)
	broken := errors.New("the disk is broken")
	_, err = rekeydump.Read(t.Context(), io.MultiReader(strings.NewReader(begin), failing{broken}), rekeydump.Config{})
	require.ErrorIs(t, err, broken)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestADumpProvesNothingOfNow(t *testing.T) {
	t.Parallel()
	const dump = "CREATE TABLE `t` (`k` int, `v` text);\nINSERT INTO `t` VALUES (1,'x');\n"
	config := rekeydump.Config{Codec: new(seen), Tables: []rekeysql.Table{{Name: "t", Value: "v", Where: "k > 1"}}, NoTrailer: true}
	report, err := rekeydump.Read(t.Context(), strings.NewReader(dump), config)
	require.NoError(t, err)
	require.True(t, report.Columns[0].Census.Complete)
	require.True(t, report.Columns[0].Census.Started.IsZero(), "which PhaseSwitch.SetProven refuses")
	require.Contains(t, report.Notes, "the condition on t is not applied: all of its rows are counted")
	config.Taken = time.Now()
	report, err = rekeydump.Read(t.Context(), strings.NewReader(dump), config)
	require.NoError(t, err)
	require.Equal(t, config.Taken, report.Columns[0].Census.Started)
}

func TestLongValuesAreUnreadableAndNotHeld(t *testing.T) {
	t.Parallel()
	codec := new(seen)
	dump := "CREATE TABLE `t` (`k` int, `v` text);\nINSERT INTO `t` VALUES (1,'" + strings.Repeat("x", 100) + "'),(2,'" + strings.Repeat("y", 101) + "');\n"
	report, err := rekeydump.Read(t.Context(), strings.NewReader(dump), rekeydump.Config{Codec: codec, MaxValue: 100, Tables: []rekeysql.Table{{Name: "t", Value: "v"}}})
	require.NoError(t, err)
	require.Len(t, codec.values, 1)
	require.EqualValues(t, 1, report.Columns[0].Census.Unreadable)
	require.EqualValues(t, 2, report.Columns[0].Census.Records)
}

// endless is a dump of so many rows.
type endless struct {
	rows int
	rest []byte
	row  []byte
}

func (e *endless) Read(p []byte) (int, error) {
	if len(e.rest) == 0 {
		if e.rows == 0 {
			return 0, io.EOF
		}
		e.rows--
		e.rest = e.row
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func TestMemoryDoesNotGrowWithTheDump(t *testing.T) {
	k := newKeys(t)
	value := kmsmigrate.EncodeBlob(k.of(t, 0))
	row := fmt.Appendf(nil, "INSERT INTO `t` VALUES (1,'%s','%s');\n", value, strings.Repeat("text ", 2000))
	allocated := func(rows int) uint64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		_, err := rekeydump.Read(t.Context(), io.MultiReader(strings.NewReader("CREATE TABLE `t` (`k` int, `v` text, `n` text);\n"), &endless{rows: rows, row: row}), rekeydump.Config{})
		require.NoError(t, err)
		runtime.GC()
		runtime.ReadMemStats(&after)
		return after.HeapInuse - min(after.HeapInuse, before.HeapInuse)
	}
	allocated(100)
	require.Less(t, allocated(5000), uint64(1<<20))
}

func TestCSV(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		file rekeydump.CSV
		text string
		want []string
		err  string
	}{
		{rekeydump.CSV{}, "k,v\n1,plain\n2,\"quo\"\"ted\nline, \"\n3,\n4,\\N\n5,\\x4b45\r\n6,0x4B\n7,\"\"", []string{"plain", "quo\"ted\nline, ", "KE", "K"}, ""},
		{rekeydump.CSV{}, "\xef\xbb\xbfv;x,k\r\n", nil, `t has no column "v" in the line that names them`},
		{rekeydump.CSV{Comma: ';'}, "\xef\xbb\xbfv;k\r\na,b;1\r\n", []string{"a,b"}, ""},
		{rekeydump.CSV{Header: []string{"v"}}, "one\ntwo\n", []string{"one", "two"}, ""},
		{rekeydump.CSV{Header: []string{"v"}}, "", nil, ""},
		{rekeydump.CSV{}, "", nil, "line 1: there is no line that names the columns"},
		{rekeydump.CSV{}, "k,v\n1," + secret + ",3\n", nil, "line 2: a row of t has 3 values, and the table 2 columns"},
		{rekeydump.CSV{}, "k,v\n1,\"" + secret, nil, "line 2: a value in quotes has no end"},
		{rekeydump.CSV{}, "k,v\n1,\"a\"" + secret + "\n", nil, "line 2: after a closing quote"},
		{rekeydump.CSV{Comma: '"'}, "k,v\n", nil, "Comma"},
	} {
		codec := new(seen)
		test.file.Table = "t"
		report, err := rekeydump.ReadCSV(t.Context(), strings.NewReader(test.text), test.file, rekeydump.Config{Codec: codec, Tables: []rekeysql.Table{{Name: "t", Value: "v"}}})
		require.Equal(t, test.want, codec.values)
		if test.err != "" {
			require.ErrorContains(t, err, test.err)
			require.NotContains(t, err.Error(), secret)
			continue
		}
		require.NoError(t, err, test.text)
		require.Len(t, report.Columns, 1)
	}
}

func TestADirectoryOfEverything(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	old, text := k.of(t, 0), kmsmigrate.EncodeBlob(k.of(t, 1))
	files := fstest.MapFS{
		"dumps/shop.sql":     {Data: []byte("CREATE TABLE `t` (`k` int, `v` text);\nINSERT INTO `t` VALUES (1,'" + text + "');\n")},
		"exports/people.csv": {Data: []byte("id,phone\n1," + text + "\n2,\n")},
		"exports/more.tsv":   {Data: []byte("id\tnote\n1\tnothing\n")},
		"files/a.bin":        {Data: old},
		"files/b.bin":        {Data: old},
		"files/readme.txt":   {Data: []byte("nothing")},
	}
	report, err := rekeydump.ReadDir(t.Context(), files, rekeydump.Config{Codec: k.client, Tables: []rekeysql.Table{{Name: "people", Value: "phone"}},
		CodecFor: nil})
	require.NoError(t, err)
	got := map[string]int64{}
	for _, c := range report.Columns {
		got[c.Census.Name] = c.Census.Records
	}
	require.Equal(t, map[string]int64{"t.v": 1, "people.phone": 1, "files.file": 2}, got)
	files["dumps/broken.sql"] = &fstest.MapFile{Data: []byte("-- MySQL dump \n")}
	_, err = rekeydump.ReadDir(t.Context(), files, rekeydump.Config{})
	require.ErrorContains(t, err, "file dumps/broken.sql: rekeydump: line 2")
}

func TestAReportIsJSONAndText(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	dump := "CREATE TABLE `t` (`k` int, `v` text, `w` text);\nINSERT INTO `t` VALUES (1,'" + kmsmigrate.EncodeBlob(k.of(t, 0)) + "','" + kmsmigrate.EncodeBlob(k.of(t, 3)) + "'),(2,'" + secret + "',NULL);\n"
	report, err := rekeydump.Read(t.Context(), strings.NewReader(dump), rekeydump.Config{
		Codec: k.client, Tables: []rekeysql.Table{{Name: "t", Value: "v"}},
		CodecFor: nil, Taken: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC),
	})
	require.NoError(t, err)
	var text bytes.Buffer
	require.NoError(t, rekeydump.WriteText(&text, report))
	for _, want := range []string{"COLUMN", "t.v", "unreadable", "t.w", "of a column that is not declared", "note: the four-field form"} {
		require.Contains(t, text.String(), want)
	}
	object, err := json.Marshal(report)
	require.NoError(t, err)
	var back rekeydump.Report
	require.NoError(t, json.Unmarshal(object, &back))
	require.Equal(t, report.Rows, back.Rows)
	require.Equal(t, report.Columns[1].Census.Counts, back.Columns[1].Census.Counts)
	require.NotContains(t, string(object)+text.String(), secret)
	require.Error(t, rekeydump.WriteText(failing{errors.New("full")}, report))
}

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func FuzzRead(f *testing.F) {
	blob, err := keytest.New(keytest.Config{KMS1: true}).Encrypt(context.Background(), []byte("x"), nil)
	require.NoError(f, err)
	text := kmsmigrate.EncodeBlob(blob)
	for _, seed := range []string{
		"CREATE TABLE `t` (`k` int, `v` text);\nINSERT INTO `t` VALUES (1,'" + text + "'),(2,0x4142),(3,_binary '\\0\\'');\n",
		"COPY public.t (k, v) FROM stdin;\n1\t" + text + "\n2\t\\\\x4142\n\\.\n",
		"CREATE FUNCTION f() AS $a$ ; $a$; ALTER TABLE ONLY a ATTACH PARTITION b; INSERT INTO t (k, v) VALUES (1, E'\\x41');",
		"CREATE TABLE t(k,v);INSERT INTO t VALUES(1,replace(unistr('\\u000a'),'a',char(10)));CREATE TRIGGER a BEGIN x; END;",
		"/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES */;/*!50000 INSERT INTO t (k) VALUES (1) */;DELIMITER ;;\nSELECT 1;;\nDELIMITER ;\n/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;",
	} {
		for dialect := range uint8(4) {
			f.Add(dialect, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, dialect uint8, dump []byte) {
		report, err := rekeydump.Read(t.Context(), bytes.NewReader(dump), rekeydump.Config{Dialect: rekeysql.Dialect(dialect % 4)})
		check(t, report, err)
	})
}

func FuzzReadCSV(f *testing.F) {
	for _, seed := range []string{"k,v\n1,\"a\"\"b\"\n", "k,v\r\n1,\\x41\r\n", "a\n\"\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		report, err := rekeydump.ReadCSV(t.Context(), bytes.NewReader(text), rekeydump.CSV{Table: "t"}, rekeydump.Config{MaxValue: 100})
		check(t, report, err)
	})
}

func check(t *testing.T, report rekeydump.Report, err error) {
	t.Helper()
	whole := !slices.ContainsFunc(report.Notes, func(note string) bool { return strings.Contains(note, "not complete") })
	for _, c := range report.Columns {
		require.Equal(t, err == nil && whole, c.Census.Complete)
		var sum int64
		for _, n := range c.Census.Counts {
			sum += n.Records
		}
		require.Equal(t, c.Census.Records, sum)
		require.LessOrEqual(t, c.Census.Records+c.Empty, c.Rows)
	}
}
