//go:build unix

package rekeyfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// tryLock takes an advisory lock on the whole file, if nobody has it.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

func links(info fs.FileInfo) uint64 {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(stat.Nlink) //nolint:unconvert // it is narrower on some systems
	}
	return 1
}

func owner(info fs.FileInfo) (uid, gid int, ok bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(stat.Uid), int(stat.Gid), true
}

// accessed leaves the time of access alone: a zero time means "as it is", and nothing reads it of a file that is replaced.
func accessed(fs.FileInfo) time.Time { return time.Time{} }
