package rekey_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeytest"
)

// groupCodec is a codec whose records share data keys: a value is its group's letter and its side. It counts what is
// under way.
type groupCodec struct {
	mu      sync.Mutex
	renewed map[byte]bool
	active  map[byte]int
	doubled bool
	calls   int
	fail    func(value []byte) error
}

func (c *groupCodec) Open(context.Context, []byte, kmsmigrate.EncryptionContext) (kmsmigrate.Opened, error) {
	return kmsmigrate.Opened{}, errors.New("a sweep opens nothing by itself")
}

func (c *groupCodec) Renew(ctx context.Context, value []byte, _ kmsmigrate.EncryptionContext) (kmsmigrate.Renewed, error) {
	group := value[0]
	c.mu.Lock()
	fresh := !c.renewed[group]
	if fresh {
		c.calls++
		c.active[group]++
		c.doubled = c.doubled || c.active[group] > 1
	}
	c.mu.Unlock()
	if fresh {
		timer := time.NewTimer(20 * time.Millisecond)
		defer timer.Stop()
		<-timer.C
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if fresh {
		c.active[group]--
	}
	if c.fail != nil {
		if err := c.fail(value); err != nil {
			return kmsmigrate.Renewed{}, err
		}
	}
	c.renewed[group] = true
	return kmsmigrate.Renewed{Ciphertext: append([]byte{group, 'n'}, value[2:]...)}, ctx.Err()
}

func (c *groupCodec) Inspect(value []byte) (kmsmigrate.Info, error) {
	side := kmsmigrate.SideOld
	if value[1] == 'n' {
		side = kmsmigrate.SideNew
	}
	return kmsmigrate.Info{Layout: "test", Copies: []kmsmigrate.Copy{{Side: side, Owned: kmsmigrate.Mine, Group: [32]byte{value[0]}}}}, nil
}

func TestRecordsOfOneDataKeyWaitForTheFirstOfThem(t *testing.T) {
	t.Parallel()
	codec := &groupCodec{renewed: map[byte]bool{}, active: map[byte]int{}}
	store := new(rekeytest.Memory)
	for i := range 600 {
		store.Put(rekey.Record{ID: idOf(i), Value: fmt.Appendf(nil, "%co%d", 'A'+byte(i%30), i)})
	}
	report, err := rekey.Sweep(t.Context(), codec, store, rekey.Options{Workers: 64})
	require.NoError(t, err)
	require.EqualValues(t, 600, report.Renewed)
	require.False(t, codec.doubled, "two records of one data key were renewed at once")
	require.Equal(t, 30, codec.calls)
}

func TestABadRecordDoesNotTakeItsGroupWithIt(t *testing.T) {
	t.Parallel()
	codec := &groupCodec{renewed: map[byte]bool{}, active: map[byte]int{}}
	codec.fail = func(value []byte) error {
		if value[2] < '5' {
			return errors.New("tampered")
		}
		return nil
	}
	store := new(rekeytest.Memory)
	for i := range 10 {
		store.Put(rekey.Record{ID: idOf(i), Value: fmt.Appendf(nil, "Ao%d", i)})
	}
	report, err := rekey.Sweep(t.Context(), codec, store, rekey.Options{})
	require.NoError(t, err)
	require.EqualValues(t, 5, report.Quarantined)
	require.EqualValues(t, 5, report.Renewed)
	require.False(t, codec.doubled)
}

// brittle is a store whose scans break off.
type brittle struct {
	*rekeytest.Memory
	every int
	scans atomic.Int64
}

func (b *brittle) Scan(ctx context.Context, r rekey.Range) iter.Seq2[rekey.Record, error] {
	b.scans.Add(1)
	return func(yield func(rekey.Record, error) bool) {
		n := 0
		for rec, err := range b.Memory.Scan(ctx, r) {
			if n++; n > b.every {
				yield(rekey.Record{}, errors.New("the connection is lost"))
				return
			}
			if !yield(rec, err) {
				return
			}
		}
	}
}

func TestAScanThatBreaksGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fill(t, 100)
		b := &brittle{Memory: w.store, every: 17}
		report, err := rekey.Sweep(t.Context(), w.client, b, rekey.Options{})
		require.NoError(t, err)
		require.EqualValues(t, 100, report.Scanned)
		require.EqualValues(t, 6, b.scans.Load())

		w.fill(t, 100)
		b.every = 0
		report, err = rekey.Sweep(t.Context(), w.client, b, rekey.Options{})
		require.ErrorContains(t, err, "the connection is lost")
		require.Zero(t, report.Scanned)
	})
}

func TestWhatIsInFlightIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n, records = 300, 24
	w.fill(t, n)
	let := make(chan struct{})
	var most atomic.Int64
	store := swapFunc{w.store, func(ctx context.Context, id string, prev, next []byte) error {
		<-let
		return w.store.Swap(ctx, id, prev, next)
	}}
	report, err := rekey.Sweep(t.Context(), w.client, store, rekey.Options{Workers: 4, InFlight: records, ProgressEvery: time.Millisecond, Progress: func(p rekey.Progress) {
		if p.Unfinished > most.Load() {
			most.Store(p.Unfinished)
		}
		if p.Unfinished == records {
			select {
			case <-let:
			default:
				close(let)
			}
		}
	}})
	require.NoError(t, err)
	require.EqualValues(t, n, report.Renewed)
	require.EqualValues(t, records, most.Load())
}

func TestSweepRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := rekey.Sweep(t.Context(), nil, w.store, rekey.Options{})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	_, err = rekey.Sweep(t.Context(), w.client, nil, rekey.Options{})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	_, err = rekey.Sweep(t.Context(), w.client, w.store, rekey.Options{Workers: -1})
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = rekey.Sweep(ctx, w.client, w.store, rekey.Options{})
	require.ErrorIs(t, err, context.Canceled)
}
