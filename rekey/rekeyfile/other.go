//go:build !unix

package rekeyfile

import (
	"io/fs"
	"os"
	"time"
)

// tryLock always succeeds: there is no lock across processes here, and only one process may use the store at a time.
func tryLock(*os.File) (bool, error) { return true, nil }

func links(fs.FileInfo) uint64 { return 1 }

func owner(fs.FileInfo) (uid, gid int, ok bool) { return 0, 0, false }

func accessed(fs.FileInfo) time.Time { return time.Time{} }
