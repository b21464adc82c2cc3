package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// engine is how a release of the application seals and opens a record.
type engine interface {
	seal(ctx context.Context, plaintext []byte) ([]byte, error)
	open(ctx context.Context, id int64, record []byte) ([]byte, error)
}

// keyhaulApp is the release with Keyhaul in it: these lines are all that an application adds.
type keyhaulApp struct {
	envelope *envelope.Envelope
	rekeyer  *rekey.Rekeyer
	store    *rekeysql.Store
}

func (a *keyhaulApp) seal(ctx context.Context, plaintext []byte) ([]byte, error) {
	return a.envelope.Seal(ctx, plaintext, nil)
}

func (a *keyhaulApp) open(ctx context.Context, id int64, record []byte) ([]byte, error) {
	key, err := a.store.ID(id)
	if err != nil {
		return nil, err
	}
	return a.rekeyer.Open(ctx, rekey.Record{ID: key, Value: record})
}

// replica is one process of the application. It reads and writes customers without pause while it is rolled from release to
// release and from phase to phase.
type replica struct {
	number, of int
	world      *world
	ledger     *ledger
	engine     atomic.Pointer[engine]
	phase      kmsmigrate.PhaseSwitch
	rekeyer    *rekey.Rekeyer
	closeKeys  func()

	reads, writes, wrong atomic.Int64
	operations           atomic.Int64
	failed               atomic.Pointer[error] // the first
	stop                 context.CancelFunc
	running              sync.WaitGroup
}

// start runs the replica's two readers and its writer, at a pace that leaves the machine room for the sweep.
func (r *replica) start(ctx context.Context) {
	ctx, r.stop = context.WithCancel(ctx)
	pace := rate.NewLimiter(400, 10)
	for i, work := range []func(context.Context, *rand.Rand) error{r.read, r.read, r.write} {
		r.running.Go(func() {
			dice := rand.New(rand.NewPCG(uint64(r.number), uint64(i)))
			for pace.Wait(ctx) == nil {
				if err := work(ctx, dice); err != nil && ctx.Err() == nil {
					r.failed.CompareAndSwap(nil, &err)
					r.wrong.Add(1)
				}
				r.operations.Add(1)
			}
		})
	}
}

func (r *replica) use(e engine) { r.engine.Store(&e) }

// upgrade replaces the release without Keyhaul by the one with it, in phase OldOnly: nothing changes yet.
func (r *replica) upgrade(ctx context.Context) error {
	env, closeKeys, err := r.world.envelope(ctx, &r.phase, false)
	if err != nil {
		return err
	}
	r.closeKeys = closeKeys
	store, err := r.world.store(ctx)
	if err != nil {
		return err
	}
	if r.rekeyer, err = rekey.New(rekey.Config{Codec: env, Store: store}); err != nil {
		return err
	}
	r.use(&keyhaulApp{envelope: env, rekeyer: r.rekeyer, store: store})
	return nil
}

// busy returns when the replica has done n more operations, or has no more to do.
func (r *replica) busy(ctx context.Context, n int64) {
	until := r.operations.Load() + n
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for r.operations.Load() < until && ctx.Err() == nil {
		<-tick.C
	}
}

func (r *replica) read(ctx context.Context, dice *rand.Rand) error {
	id := dice.Int64N(int64(r.world.rows)) + 1
	since := r.ledger.acknowledged[id].Load()
	var record []byte
	if err := r.world.db.QueryRowContext(ctx, `SELECT secret FROM customers WHERE id = ?`, id).Scan(&record); err != nil {
		return err
	}
	plaintext, err := (*r.engine.Load()).open(ctx, id, record)
	if err != nil {
		return err
	}
	defer clear(plaintext) // good manners, and a proof that the rewrite has a copy of its own
	r.reads.Add(1)
	if !r.ledger.admits(id, since, string(plaintext)) {
		return fmt.Errorf("customer %d was read as something that nobody wrote", id)
	}
	return nil
}

// write changes one of the records that are this replica's to write, and does not look at who rewrites them meanwhile.
func (r *replica) write(ctx context.Context, dice *rand.Rand) error {
	share := int64((r.world.rows - r.number + r.of - 1) / r.of)
	if share == 0 {
		return nil
	}
	id := dice.Int64N(share)*int64(r.of) + int64(r.number) + 1
	revision := r.ledger.acknowledged[id].Load() + 1
	r.ledger.begun[id].Store(revision)
	record, err := (*r.engine.Load()).seal(ctx, []byte(text(id, revision)))
	if err != nil {
		return err
	}
	// Not ctx: a write that is cut off half-way has an unknown end, and then nobody can say what the record must hold.
	_, err = r.world.db.ExecContext(context.WithoutCancel(ctx), `UPDATE customers SET secret = ? WHERE id = ?`, string(record), id)
	if err != nil {
		return err
	}
	r.ledger.acknowledged[id].Store(revision)
	r.writes.Add(1)
	return nil
}

// close stops the work and waits for the rewrites that were queued.
func (r *replica) close(ctx context.Context) error {
	r.stop()
	r.running.Wait()
	var err error
	if r.rekeyer != nil {
		err = r.rekeyer.Close(ctx)
	}
	if r.closeKeys != nil {
		r.closeKeys()
	}
	return err
}
