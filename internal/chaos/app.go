package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
	"github.com/keyhaul/keyhaul/rekey/rekeysql"
)

// app is one process of the application.
type app struct {
	options
	config
	env     *envelope.Envelope
	rekeyer *rekey.Rekeyer
	store   *rekeysql.Store
	db      *sql.DB
	out     printer
	acked   sync.Map // record -> the revision that this process wrote last
	next    atomic.Int64
	reads   atomic.Int64
}

// printer writes lines as a whole: what was printed has left the process, also when it is killed next.
type printer struct{ mu sync.Mutex }

func (p *printer) print(m message) {
	line, err := json.Marshal(m)
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = os.Stdout.Write(append(line, '\n'))
}

// runApp reads and writes until stdin ends.
func runApp(ctx context.Context, o options) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	phase := new(kmsmigrate.PhaseSwitch)
	if err := setPhase(phase, o.phase); err != nil {
		return err
	}
	a := &app{options: o}
	var err error
	if a.config, err = readConfig(o.config); err != nil {
		return err
	}
	if a.db, err = a.connect(); err != nil {
		return err
	}
	defer func() { _ = a.db.Close() }()
	if a.store, err = a.declared(ctx, a.db); err != nil {
		return err
	}
	if a.env, err = a.envelope(ctx, phase, perKey); err != nil {
		return err
	}
	defer a.env.Close()
	if a.rekeyer, err = rekey.New(rekey.Config{Codec: a.env, Store: a.store, Again: time.Second, OneIn: max(1, a.Records/20_000)}); err != nil {
		return err
	}
	a.out.print(message{Kind: "phase", Text: o.phase})
	go stalls(ctx, func() { a.out.print(message{Kind: "stall"}) })
	var work sync.WaitGroup
	for range 2 {
		work.Go(func() { a.loop(ctx, 4*time.Millisecond, a.read) })
	}
	work.Go(func() { a.loop(ctx, 8*time.Millisecond, a.write) })
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		if err := setPhase(phase, lines.Text()); err != nil {
			return err
		}
		a.out.print(message{Kind: "phase", Text: lines.Text()})
	}
	stop()
	work.Wait()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = a.rekeyer.Close(closing)
	a.out.print(message{Kind: "reads", N: a.reads.Swap(0)})
	return err
}

func setPhase(s *kmsmigrate.PhaseSwitch, name string) error {
	p, err := kmsmigrate.ParsePhase(strings.TrimSpace(name))
	if err != nil {
		return err
	}
	return s.Jump(p)
}

func (a *app) loop(ctx context.Context, pace time.Duration, do func(context.Context) error) {
	for wait(ctx, rand.N(2*pace)) == nil {
		err := do(context.WithoutCancel(ctx)) // an operation that has begun is finished, as a request is
		if err != nil {
			a.out.print(message{Kind: "error", Text: err.Error(), KMS: fromKMS(err)})
		}
	}
}

func (a *app) read(ctx context.Context) error {
	id := rand.Int64N(int64(a.Records)) + 1
	least, mine := a.acked.Load(id)
	var value []byte
	if err := a.db.QueryRowContext(ctx, a.arg("SELECT secret FROM "+a.Table+" WHERE id = ?"), id).Scan(&value); err != nil {
		return fmt.Errorf("reading: %w", err)
	}
	rec := rekey.Record{ID: fmt.Sprint(id), Value: value, Context: contextOf(id)}
	plaintext, err := a.rekeyer.Open(ctx, rec)
	if err != nil {
		return fmt.Errorf("opening record %d: %w", id, err)
	}
	if n := a.reads.Add(1); n%200 == 0 {
		a.out.print(message{Kind: "reads", N: a.reads.Swap(0)})
		if _, err := a.env.Open(ctx, value, contextOf(id+1)); err == nil {
			a.out.print(message{Kind: "identity", ID: id, Text: "it opens under another record's context"})
		}
	}
	revision, ok := revisionOf(id, plaintext)
	if !ok {
		a.out.print(message{Kind: "identity", ID: id, Text: "it is another record's"})
	}
	if mine && revision < least.(int64) {
		a.out.print(message{Kind: "overwritten", ID: id, Revision: revision})
	}
	clear(plaintext)
	clear(value)
	return nil
}

// write gives a record of this process's own a new revision, blindly, as an application does.
func (a *app) write(ctx context.Context) error {
	share := int64(a.Records / apps)
	id := rand.Int64N(share)*apps + int64(a.slot) + 1
	revision := a.epoch<<32 + a.next.Add(1)
	value, err := a.env.Seal(ctx, text(id, revision), contextOf(id))
	if err != nil {
		return fmt.Errorf("sealing: %w", err)
	}
	a.out.print(message{Kind: "begin", ID: id, Revision: revision})
	if _, err := a.db.ExecContext(ctx, a.arg("UPDATE "+a.Table+" SET secret = ? WHERE id = ?"), value, id); err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	a.acked.Store(id, revision)
	a.out.print(message{Kind: "ack", ID: id, Revision: revision})
	return nil
}

// runSweep shares a sweep with the other sweeping process.
func runSweep(ctx context.Context, o options) error {
	c, err := readConfig(o.config)
	if err != nil {
		return err
	}
	db, err := c.connect()
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	store, err := c.declared(ctx, db)
	if err != nil {
		return err
	}
	book, err := rekeysql.OpenNotebook(ctx, db, c.Notes)
	if err != nil {
		return err
	}
	env, err := c.envelope(ctx, kmsmigrate.Rewrite, perKey)
	if err != nil {
		return err
	}
	defer env.Close()
	report, err := rekey.SweepShared(ctx, env, store, rekey.Shared{Notebook: book, Parts: 24, Lease: 2 * time.Second},
		rekey.Options{Name: fmt.Sprintf("sweep-%d", o.slot), Workers: 16, InFlight: 4096, Patience: 30 * time.Second, CheckpointEvery: 200 * time.Millisecond, ReadBack: 50})
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	text, err := json.Marshal(report)
	if err != nil {
		return err
	}
	var out printer
	out.print(message{Kind: "swept", N: report.Quarantined, Text: string(text)})
	return nil
}
