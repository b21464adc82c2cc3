// Package rekeydump counts which key wraps what in a backup: a SQL dump, CSV files, or a directory of them.
//
//	report, err := rekeydump.Read(ctx, file, rekeydump.Config{Codec: client, Tables: tables})
//	err = rekeydump.WriteText(os.Stdout, report)
//
// It is the census of package rekey for data that no database serves: the same declarations, the same counts, from headers
// alone and without a KMS call. Without declarations it looks at every column for what looks like KMS ciphertext, as
// rekeysql.Discover does. It reads once from beginning to end, and holds one row.
//
// # What it reads
//
// [Read] takes what mysqldump, mariadb-dump, pg_dump in its plain format, pg_dumpall and the sqlite3 shell's .dump write,
// with INSERT or COPY, also compressed with gzip. [ReadCSV] takes one table as CSV, and [ReadDir] a directory with any of
// these and with files that are records themselves. A dump that was cut off is an error: it would seem to hold less than
// it does. So are statements that load rows from other files or make them, and dumps whose rows are in files beside them.
// A dump without the lines that its program writes first and last (mysqldump --compact) does not tell whether it is whole:
// its censuses are not complete unless Config.NoTrailer says that such a dump is expected. Nor does a CSV file tell, which
// counts as complete, with a note.
//
// # What it proves
//
// A backup holds what was there when it was taken. Its census tells which keys a restore would need, and is no evidence for
// giving up a key in the live database: [kmsmigrate.Census] Started is Config.Taken, which is zero unless you set it, and
// what is not known to be recent is not accepted as proof.
package rekeydump
