//go:build unix

package fakeprocess

import (
	"syscall"
	"time"
)

// CPU returns the time that this process has computed, on all cores; 0 where the system does not tell.
func CPU() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
