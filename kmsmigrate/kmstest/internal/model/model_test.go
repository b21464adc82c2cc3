package model_test

import "time"

func nowFixed() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }
