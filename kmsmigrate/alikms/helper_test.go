package alikms

import (
	"encoding/hex"
	"time"
)

var testNow = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func hexOf(b []byte) string { return hex.EncodeToString(b) }
