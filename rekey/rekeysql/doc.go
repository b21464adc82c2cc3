// Package rekeysql finds and replaces encrypted columns in MySQL, MariaDB, PostgreSQL and SQLite, for package rekey.
//
// [Open] looks at the table and checks everything that would go wrong later; the [Store] it returns is what a sweep, a
// census and a lazy rewrite take:
//
//	store, err := rekeysql.Open(ctx, db, rekeysql.Table{Name: "customers", Key: []string{"id"}, Value: "secret"})
//
// [Store.In] returns the same for a transaction of the caller's; in SQLite it cannot be used with a ledger or a table of data keys
// in the same database, see [rekey.Rekeyer.OpenSync]. The package takes whatever database/sql driver the
// application has, and imports none.
//
// # What it takes care of
//
// A value is compared byte for byte, whatever the collation of its column: under a case-insensitive collation MySQL takes
// "QUJD" and "qujd " for equal, which are different ciphertexts. A swap never waits for a row lock: it returns
// [rekey.ErrBusy], so that a rewrite cannot hang on a lock that the reader itself holds. Columns that the database would
// bump by itself, like updated_at, keep their value where Table.Keep names them. What would not fit the column, or would
// be cut, is refused before it is written. Identifiers are quoted; nothing of a record is ever part of a statement.
//
// Replicas are read and never written: give a sweep a replica's Store as its Scanner and the primary's as its Swapper.
// [ReplicationLag] holds it back while one is behind. [Discover] finds columns that nobody has declared, and package rekeydump
// counts what backups hold.
//
// # What it was tested with
//
// Every test runs against MariaDB 10.11, PostgreSQL 15 and SQLite 3, and against Oracle's MySQL 9.7 where it can be had. MySQL
// 8.0 and 8.4 were not to be had: nothing is used that they lack.
package rekeysql
