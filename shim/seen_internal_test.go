package shim

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func signatureOf(n int) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 20), uint64(n))
}

// TestRequestsAreRememberedForAsLongAsTheirStampIsGood plays an hour of ten requests a second with a table for 15 minutes and some.
func TestRequestsAreRememberedForAsLongAsTheirStampIsGood(t *testing.T) {
	t.Parallel()
	const every = 100 * time.Millisecond
	s := newSeen()
	s.most = int((maxSkew + 3*time.Minute) / every)
	start := time.Now()
	for i := range int(time.Hour / every) {
		at := start.Add(time.Duration(i) * every)
		fresh, full := s.first(signatureOf(i), at, at)
		require.False(t, full, at.Sub(start))
		require.True(t, fresh)
		if before := i - int(maxSkew/every); before >= 0 && i%50 == 0 {
			fresh, full = s.first(signatureOf(before), at.Add(-maxSkew), at)
			require.False(t, fresh, "the oldest that is good still is known")
			require.False(t, full)
		}
	}
	require.LessOrEqual(t, s.held, s.most)
	late := start.Add(3 * time.Hour)
	fresh, _ := s.first(signatureOf(1<<40), late, late)
	require.True(t, fresh)
	require.Equal(t, 1, s.held, "all else is forgotten")
}

// TestAFullTableTakesRequestsAgain sees that it takes requests again once the first are forgotten.
func TestAFullTableTakesRequestsAgain(t *testing.T) {
	t.Parallel()
	s, now := newSeen(), time.Now()
	s.most = 2
	for i := range 4 {
		fresh, full := s.first(signatureOf(i), now, now)
		require.Equal(t, i < 2, fresh)
		require.Equal(t, i >= 2, full)
	}
	fresh, full := s.first(signatureOf(0), now, now)
	require.False(t, fresh, "what it holds it still knows")
	require.False(t, full)
	later := now.Add(maxSkew + 3*time.Minute)
	fresh, _ = s.first(signatureOf(3), later, later)
	require.True(t, fresh)
}

func BenchmarkSeen(b *testing.B) {
	s, now := newSeen(), time.Now()
	for i := 0; b.Loop(); i++ {
		at := now.Add(time.Duration(i) * time.Millisecond)
		s.first(signatureOf(i), at, at)
	}
}
