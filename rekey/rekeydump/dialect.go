package rekeydump

import (
	"bytes"

	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// dialectOf tells whose dump it is from its beginning, Auto where it does not tell.
func dialectOf(head []byte) rekeysql.Dialect {
	for _, sign := range []struct {
		text    string
		dialect rekeysql.Dialect
	}{
		{"-- MySQL dump ", rekeysql.MySQL},
		{"-- MariaDB dump ", rekeysql.MySQL},
		{"/*!", rekeysql.MySQL},
		{"/*M!", rekeysql.MySQL},
		{"-- PostgreSQL database ", rekeysql.PostgreSQL},
		{" FROM stdin;\n", rekeysql.PostgreSQL},
		{"SET standard_conforming_strings", rekeysql.PostgreSQL},
		{"PRAGMA foreign_keys=OFF;", rekeysql.SQLite},
		{"BEGIN TRANSACTION;", rekeysql.SQLite},
		{"INSERT INTO `", rekeysql.MySQL},
		{"CREATE TABLE `", rekeysql.MySQL},
	} {
		if bytes.Contains(head, []byte(sign.text)) {
			return sign.dialect
		}
	}
	return rekeysql.Auto
}

// isDump tells whether a file without the name of one is a dump for sure.
func isDump(head []byte) bool {
	for _, sign := range []string{"-- MySQL dump ", "-- MariaDB dump ", "-- PostgreSQL database ", "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;"} {
		if bytes.Contains(head, []byte(sign)) {
			return true
		}
	}
	return false
}
