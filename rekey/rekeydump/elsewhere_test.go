package rekeydump_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey/rekeydump"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

var declared = []rekeysql.Table{{Name: "t", Value: "v"}}

func TestRowsThatAreLoadedFromElsewhereAreAnError(t *testing.T) {
	t.Parallel()
	for _, frame := range []struct {
		begin, end string
		statements []string
	}{
		{"-- MySQL dump 10.13\nCREATE TABLE `t` (`k` int, `v` text);\n", "\n-- Dump completed\n", []string{
			"LOAD DATA INFILE 'x' INTO TABLE t;", "LOAD XML INFILE 'x' INTO TABLE t;", "SOURCE rows.sql", "source rows.sql;", "\\. rows.sql",
			"SELECT 1; \\. rows.sql", "INSERT INTO t SELECT * FROM u;", "WITH x AS (SELECT 1) INSERT INTO t VALUES (1,'a');", "UPDATE t SET v = 'a';",
			"/*!50000 LOAD DATA INFILE 'x' INTO TABLE t */;", "/*!50000 INSERT INTO t SELECT * FROM u */;", "/*!50000 SET x = 1; INSERT INTO t VALUES (1,'a') */;", "CREATE TABLE u AS SELECT * FROM t;",
			"CREATE TABLE u (k int) SELECT * FROM t;", "CREATE TABLE u (SELECT * FROM t);", "ALTER TABLE t IMPORT TABLESPACE;", "CALL fill();",
			"DELIMITER ;;\nINSERT INTO t VALUES (1,'a');;\nDELIMITER ;", "DELIMITER $$\nSELECT 1 $$ /*!50000 INSERT INTO t\nVALUES (1,'a') */$$\nDELIMITER ;",
			"delimiter //\nLOAD DATA INFILE 'x' INTO TABLE t //\ndelimiter ;",
		}},
		{"-- PostgreSQL database dump\nCREATE TABLE t (k int, v text);\n", "\n-- PostgreSQL database dump complete\n", []string{
			"COPY t (k, v) FROM '/rows.dat';", "COPY t FROM PROGRAM 'cat rows';", "COPY t (k, v) FROM stdin WITH (FORMAT csv);\n1,a\n\\.\n", "\\copy t from rows.csv",
			"\\i rows.sql", "\\ir rows.sql", "\\include rows.sql", "\\echo a \\i rows.sql", "SELECT 1 \\gexec", "WITH x AS (SELECT 1) INSERT INTO t VALUES (1, 'a');",
			"CREATE TABLE u AS SELECT * FROM t;", "MERGE INTO t USING u ON true;", "DO $$ BEGIN END $$;", "INSERT INTO t TABLE u;", "SELECT * INTO u FROM t;", "UPDATE t SET v = 'a';",
		}},
		{"PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE t(k,v);\n", "\nCOMMIT;\n", []string{
			".read rows.sql", ".import rows.csv t", "INSERT INTO t SELECT * FROM u;", "WITH x AS (SELECT 1) INSERT INTO t VALUES (1,'a');", "CREATE TABLE u AS SELECT * FROM t;",
		}},
	} {
		for _, statement := range frame.statements {
			report, err := rekeydump.Read(t.Context(), strings.NewReader(frame.begin+statement+frame.end), rekeydump.Config{Codec: new(seen), Tables: declared})
			require.ErrorIs(t, err, kmsmigrate.ErrInvalid, statement)
			require.ErrorContains(t, err, "line ", statement)
			if !strings.Contains(statement, "\n") {
				require.ErrorContains(t, err, fmt.Sprintf("line %d:", 1+strings.Count(frame.begin, "\n")), statement)
			}
			require.NotContains(t, err.Error(), "cut off", statement)
			for _, c := range report.Columns {
				require.False(t, c.Census.Complete, statement)
			}
		}
	}
}

func TestRowsInConditionalCommentsAreCounted(t *testing.T) {
	t.Parallel()
	codec := new(seen)
	dump := "-- MySQL dump 10.13\n/*!999999\\- enable the sandbox mode */\nCREATE TABLE `t` (`k` int, `v` text);\n/*!40000 ALTER TABLE `t` DISABLE KEYS */;\n/*!40101 SET NAMES 'a;b' */;\n/*!50003 CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW BEGIN SET @a = 1; END */;\n" +
		"/*!50000 INSERT INTO t VALUES (1,'one') */;\n/*M!100000 REPLACE */ INTO t VALUES (2,'two') /*!50000 ,(3,'three') */;\n/*!40000 ALTER TABLE `t` ENABLE KEYS */;\n-- Dump completed\n"
	report, err := rekeydump.Read(t.Context(), strings.NewReader(dump), rekeydump.Config{Codec: codec, Tables: declared})
	require.NoError(t, err)
	require.Equal(t, []string{"one", "two", "three"}, codec.values)
	require.True(t, report.Columns[0].Census.Complete)
	require.Empty(t, report.Notes)
	_, err = rekeydump.Read(t.Context(), strings.NewReader("CREATE TABLE `t` (`k` int, `v` text);\n/*!50000 INSERT INTO t VALUES (1,'one');\n"), rekeydump.Config{Codec: codec, Tables: declared})
	require.ErrorContains(t, err, "cut off")
}

func TestADumpThatDoesNotTellItsEndIsNotComplete(t *testing.T) {
	t.Parallel()
	const rows = "CREATE TABLE `t` (`k` int, `v` text);\nINSERT INTO `t` VALUES (1,'a');\n"
	const begin, end = "/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;\n", "/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;\n"
	for _, test := range []struct {
		dump     string
		complete bool
	}{
		{begin + rows + end, true},
		{"-- MySQL dump 10.13\n" + rows + "-- Dump completed\n", true},
		{rows, false},
		{"/*!40101 SET NAMES utf8mb4 */;\n" + rows, false},
		{begin + rows + end + "INSERT INTO `t` VALUES (2,'b');\n", false},
	} {
		config := rekeydump.Config{Codec: new(seen), Tables: declared}
		report, err := rekeydump.Read(t.Context(), strings.NewReader(test.dump), config)
		require.NoError(t, err)
		require.Equal(t, test.complete, report.Columns[0].Census.Complete, test.dump)
		require.Equal(t, test.complete, len(report.Notes) == 0, test.dump)
		config.NoTrailer = true
		report, err = rekeydump.Read(t.Context(), strings.NewReader(test.dump), config)
		require.NoError(t, err)
		require.True(t, report.Columns[0].Census.Complete)
		require.Equal(t, test.complete, len(report.Notes) == 0, test.dump)
	}
	for _, cut := range []string{begin + rows, "/*M!100616 SET @OLD_NOTE_VERBOSITY=@@NOTE_VERBOSITY, NOTE_VERBOSITY=0 */;\n" + rows} {
		_, err := rekeydump.Read(t.Context(), strings.NewReader(cut), rekeydump.Config{Codec: new(seen), Tables: declared, NoTrailer: true})
		require.ErrorContains(t, err, "cut off")
	}
	report, err := rekeydump.ReadCSV(t.Context(), strings.NewReader("k,v\n1,"), rekeydump.CSV{Table: "t"}, rekeydump.Config{Codec: new(seen), Tables: declared})
	require.NoError(t, err)
	require.Contains(t, report.Notes[0], "cut off")
}

func TestADirectoryLeavesNothingOutSilently(t *testing.T) {
	t.Parallel()
	dump := func(v string) string {
		return "-- MySQL dump 10.13\nCREATE TABLE `t` (`k` int, `v` text);\nINSERT INTO `t` VALUES (1,'" + v + "');\n-- Dump completed\n"
	}
	codec := new(seen)
	report, err := rekeydump.ReadDir(t.Context(), fstest.MapFS{"a.sql": {Data: []byte(dump("one"))}, "B.SQL": {Data: []byte(dump("two"))}}, rekeydump.Config{Codec: codec, Tables: declared})
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"one", "two"}, codec.values)
	require.True(t, report.Columns[0].Census.Complete)
	for file, text := range map[string]string{
		"c.sql.zst": "\x28\xb5\x2f\xfd", "c.zst": "\x28\xb5\x2f\xfd", "c.bz2": "BZh9", "c.xz": "\xfd7zXZ\x00", "c.lz4": "\x04\x22\x4d\x18", "c.pgdump": "PGDMP\x01",
		"c.db": "SQLite format 3\x00", "c.zip": "PK\x03\x04", "c.tar": strings.Repeat("\x00", 257) + "ustar", "c.backup": dump("three"), "c.bak.gz": "\x1f\x8b\x08",
		"a.txt": "1\tthree\n", "A.TSV": "k\tv\n", "a.txt.gz": "", "sub/@.json": "{}",
	} {
		report, err := rekeydump.ReadDir(t.Context(), fstest.MapFS{"a.sql": {Data: []byte(dump("one"))}, file: {Data: []byte(text)}}, rekeydump.Config{Codec: new(seen), Tables: declared})
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, file)
		name := file
		if strings.EqualFold(file[:2], "a.") {
			name = "a.sql"
		}
		require.ErrorContains(t, err, "file "+name, file)
		for _, c := range report.Columns {
			require.False(t, c.Census.Complete)
		}
	}
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.sql"), []byte(dump("one")), 0o600))
	require.NoError(t, os.Symlink(filepath.Join(dir, "a.sql"), filepath.Join(dir, "b.sql")))
	_, err = rekeydump.ReadDir(t.Context(), os.DirFS(dir), rekeydump.Config{Codec: new(seen), Tables: declared})
	require.ErrorContains(t, err, "file b.sql is a symbolic link")
}

func TestACSVWithoutAHeaderLineShowsNoValue(t *testing.T) {
	t.Parallel()
	k := newKeys(t)
	for _, text := range []string{"17," + secret + "\n18,y\n", "17," + kmsmigrate.EncodeBlob(k.of(t, 0)) + "\n"} {
		for _, tables := range [][]rekeysql.Table{declared, nil} {
			report, err := rekeydump.ReadCSV(t.Context(), strings.NewReader(text), rekeydump.CSV{Table: "t"}, rekeydump.Config{Codec: new(seen), Tables: tables})
			if err != nil {
				require.ErrorContains(t, err, "CSV.Header")
				require.NotContains(t, err.Error(), "17")
				require.NotContains(t, err.Error(), secret)
			}
			require.Empty(t, report.Columns)
		}
	}
}
