package rekey_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
)

// endless is a store that makes its records as they are read, and forgets them.
type endless struct {
	records int
	at      func()
}

func (e *endless) Scan(context.Context, rekey.Range) iter.Seq2[rekey.Record, error] {
	return func(yield func(rekey.Record, error) bool) {
		for i := range e.records {
			e.at()
			if !yield(rekey.Record{ID: fmt.Sprintf("%09d", i), Value: binary.BigEndian.AppendUint64(make([]byte, 0, 500), uint64(i))[:500]}, nil) {
				return
			}
		}
	}
}

func (e *endless) Swap(context.Context, string, []byte, []byte) error { return nil }

// freeCodec costs nothing. Some records are new, some share a data key with a few others, some share none, and a few cannot be
// renewed.
type freeCodec struct{}

func (freeCodec) Open(context.Context, []byte, kmsmigrate.EncryptionContext) (kmsmigrate.Opened, error) {
	return kmsmigrate.Opened{}, errors.New("a sweep opens nothing by itself")
}

func (freeCodec) Renew(_ context.Context, value []byte, _ kmsmigrate.EncryptionContext) (kmsmigrate.Renewed, error) {
	if binary.BigEndian.Uint64(value)%500 == 7 {
		return kmsmigrate.Renewed{}, kmsmigrate.ErrInvalid
	}
	return kmsmigrate.Renewed{Ciphertext: value}, nil
}

func (freeCodec) Inspect(value []byte) (kmsmigrate.Info, error) {
	n := binary.BigEndian.Uint64(value)
	c := kmsmigrate.Copy{Side: kmsmigrate.SideOld, Owned: kmsmigrate.Mine}
	switch n % 3 {
	case 0:
		c.Side = kmsmigrate.SideNew
	case 1:
		binary.BigEndian.PutUint64(c.Group[:], 1+n/50)
	}
	return kmsmigrate.Info{Layout: "free", Copies: []kmsmigrate.Copy{c}}, nil
}

// With KEYHAUL_LONG it is ten thousand records against a million, and against fifty thousand without.
func TestMemoryOfASweepDoesNotGrowWithItsRecords(t *testing.T) {
	many := 50_000
	if os.Getenv("KEYHAUL_LONG") != "" {
		many = 1_000_000
	}
	// measure returns the most that was live, and the most that was on the heap, garbage included.
	measure := func(records int) (live, peak uint64) {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		before := m.HeapAlloc
		n := 0
		look := func(most *uint64) {
			runtime.ReadMemStats(&m)
			*most = max(*most, m.HeapAlloc-min(before, m.HeapAlloc))
		}
		report, err := rekey.Sweep(t.Context(), freeCodec{}, &endless{records: records, at: func() {
			n++
			if n%(records/200) == 0 {
				look(&peak)
			}
			if n%(records/20) == 0 {
				runtime.GC()
				look(&live)
			}
		}}, rekey.Options{
			MaxInARow: -1, ListQuarantined: 10, Checkpoint: rekey.CheckpointIn(new(rekey.MemoryNotebook), "x"), CheckpointEvery: time.Millisecond,
			By: func(rec rekey.Record) string { return rec.ID[8:] }, Contended: new(rekey.Contended),
		})
		require.NoError(t, err)
		require.EqualValues(t, records, report.Scanned)
		return live, peak
	}
	measure(2000) // whatever is allocated once
	live, peak := measure(10_000)
	liveOfMany, peakOfMany := measure(many)
	t.Logf("live %d KiB and %d KiB, peak %d KiB and %d KiB, of 10,000 and %d records", live>>10, liveOfMany>>10, peak>>10, peakOfMany>>10, many)
	require.Less(t, liveOfMany, 2*live+1<<20)
	require.Less(t, peakOfMany, 2*peak+8<<20)
}
