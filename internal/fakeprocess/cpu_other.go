//go:build !unix

package fakeprocess

import "time"

// CPU returns 0: nobody has asked for more yet.
func CPU() time.Duration { return 0 }
