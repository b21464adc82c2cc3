package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/envelope"
	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/rekey"
)

func newOrchestra(opts options) *orchestra {
	return &orchestra{
		options: opts, began: time.Now(), dice: rand.New(rand.NewPCG(opts.seed, 1)), acked: make([]int64, opts.records+1), begun: make([]int64, opts.records+1),
		result: result{Database: opts.db, Records: opts.records, Seed: opts.seed, Faults: map[string]int{}},
	}
}

// orchestrate runs the story and checks its end.
func orchestrate(ctx context.Context, opts options) (result, error) {
	o := newOrchestra(opts)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	dir, err := os.MkdirTemp("", "chaos")
	if err != nil {
		return o.result, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cloud, err := kmstest.Start(kmstest.Config{})
	if err != nil {
		return o.result, err
	}
	defer func() { _ = cloud.Close() }()
	hangzhou, err := cloud.Region("cn-hangzhou")
	if err != nil {
		return o.result, err
	}
	shanghai, err := cloud.Region("cn-shanghai")
	if err != nil {
		return o.result, err
	}
	instance, err := shanghai.CreateInstance(kmstest.InstanceSpec{})
	if err != nil {
		return o.result, err
	}
	newKey, err := o.furnish(dir, cloud, hangzhou, instance)
	if err != nil {
		return o.result, err
	}
	db, err := o.connect()
	if err != nil {
		return o.result, err
	}
	defer func() { _ = db.Close() }()
	defer func() {
		for _, table := range []string{o.Table, o.Notes} {
			_, _ = db.ExecContext(context.WithoutCancel(ctx), "DROP TABLE "+table)
		}
	}()
	if err := o.populate(ctx, db, kmsmigrate.OldOnly); err != nil {
		return o.result, err
	}
	if err := o.play(ctx, db, cloud, hangzhou.Match(), instance.Match(), newKey); err != nil {
		return o.result, err
	}
	if err := o.check(ctx, db); err != nil {
		return o.result, err
	}
	o.result.Seconds = time.Since(o.began).Seconds()
	return o.result, nil
}

// furnish makes the keys and writes down where everything is.
func (o *orchestra) furnish(dir string, cloud *kmstest.Cloud, old *kmstest.Region, fresh *kmstest.Instance) (*kmstest.Key, error) {
	oldKey, err := old.CreateKey(kmstest.KeySpec{UUID: true})
	if err != nil {
		return nil, err
	}
	newKey, err := fresh.CreateKey(kmstest.KeySpec{})
	if err != nil {
		return nil, err
	}
	clientKey, err := fresh.CreateClientKey()
	if err != nil {
		return nil, err
	}
	suffix := fmt.Sprint(os.Getpid())
	o.config = config{
		Table: "chaos_" + suffix, Notes: "chaos_notes_" + suffix, Records: o.records,
		OldEndpoint: old.HTTPS, OldCA: old.CA(), OldKey: oldKey.ID(),
		NewEndpoint: fresh.Addr, NewCA: fresh.CA(), NewKey: newKey.ID(), ClientKey: clientKey.JSON, Password: clientKey.Password,
	}
	o.AK, o.SK = cloud.Credentials()
	switch o.db {
	case "sqlite":
		o.Driver = "sqlite"
		o.DSN = "file:" + filepath.Join(dir, "chaos.db") + "?_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_txlock=immediate"
	case "mariadb":
		o.Driver, o.DSN = "mysql", os.Getenv("KEYHAUL_MYSQL_DSN")
	case "postgres":
		o.Driver, o.DSN = "pgx", os.Getenv("KEYHAUL_POSTGRES_DSN")
	default:
		return nil, fmt.Errorf("unknown -db %q", o.db)
	}
	if o.DSN == "" {
		return nil, errors.New("the database's KEYHAUL_…_DSN is not set")
	}
	o.path = filepath.Join(dir, "config.json")
	body, err := json.Marshal(o.config)
	if err != nil {
		return nil, err
	}
	return newKey, os.WriteFile(o.path, body, 0o600)
}

// populate writes every record once, in a phase: with the old key, in the story.
func (o *orchestra) populate(ctx context.Context, db *sql.DB, phase kmsmigrate.Phase) error {
	blob := map[string]string{"sqlite": "BLOB", "mysql": "LONGBLOB", "pgx": "bytea"}[o.Driver]
	if _, err := db.ExecContext(ctx, "CREATE TABLE "+o.Table+" (id BIGINT NOT NULL PRIMARY KEY, shard INT NOT NULL, secret "+blob+" NOT NULL)"); err != nil {
		return err
	}
	env, err := o.envelope(ctx, phase, max(perKey, o.records/1000))
	if err != nil {
		return err
	}
	defer env.Close()
	const perTx = 2000
	for from := 1; from <= o.records; from += perTx {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		for id := int64(from); id < int64(from+perTx) && id <= int64(o.records); id++ {
			value, err := env.Seal(ctx, text(id, 0), contextOf(id))
			if err == nil {
				_, err = tx.ExecContext(ctx, o.arg("INSERT INTO "+o.Table+" (id, shard, secret) VALUES (?, ?, ?)"), id, id%shards, value)
			}
			if err != nil {
				_ = tx.Rollback()
				return err
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	o.say("%d records", o.records)
	return nil
}

// play rolls the phases while everything breaks.
func (o *orchestra) play(ctx context.Context, db *sql.DB, cloud *kmstest.Cloud, old, fresh kmstest.Match, newKey *kmstest.Key) error {
	for i := range o.slots {
		o.slots[i] = &slot{phase: kmsmigrate.OldOnly.String()}
		if err := o.fill(i); err != nil {
			return err
		}
	}
	go stalls(ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.stood()
	})
	breaking, mend := context.WithCancel(ctx)
	defer mend()
	var chaos sync.WaitGroup
	everyFault := make(chan struct{})
	chaos.Go(func() { o.faults(breaking, cloud, old, fresh, func() { close(everyFault) }) })
	// The kills are spread over the road and the sweep at its end, of which nobody knows how long it takes.
	lasts := 9*o.step + time.Duration(o.records/1500)*time.Second
	deaths := make(chan error, 1)
	chaos.Go(func() {
		for n := 0; n < o.kills; n++ {
			if wait(breaking, rand.N(2*lasts/time.Duration(o.kills+1))) != nil {
				return
			}
			if err := o.kill(); err != nil {
				deaths <- err
				return
			}
		}
	})
	road := []kmsmigrate.Phase{
		kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite, kmsmigrate.WriteNew, kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite,
	}
	for n, phase := range road {
		if err := wait(ctx, o.step/2); err != nil {
			return err
		}
		if err := o.roll(ctx, phase); err != nil {
			return err
		}
		if n == 2 { // a sweep that is cut off by going back
			half, stop := context.WithTimeout(ctx, o.step/2)
			if err := newKey.Rotate(); err != nil {
				stop()
				return err
			}
			o.mu.Lock()
			o.result.Rotations++
			o.mu.Unlock()
			err := o.sweep(half, 0)
			stop()
			if err != nil && half.Err() == nil {
				return err
			}
		}
	}
	// Sweep until every fault has been and every kill is done: what the faults keep one sweep from doing is done by the next.
	next := 1
	for left := true; left; {
		if err := o.sweep(ctx, next); err != nil {
			return err
		}
		next++
		if err := wait(ctx, o.step/4); err != nil {
			return err
		}
		select {
		case err := <-deaths:
			return err
		case <-everyFault:
			o.mu.Lock()
			left = o.result.Kills < o.kills
			o.mu.Unlock()
		default:
		}
	}
	mend()
	chaos.Wait()
	o.say("the faults are over")
	if err := wait(ctx, excuse); err != nil { // calls that a fault met end within that time
		return err
	}
	if err := o.sweep(ctx, next); err != nil {
		return err
	}
	if err := o.retire(ctx, db, cloud, old); err != nil {
		return err
	}
	for i, s := range o.slots {
		_ = s.process.stdin.Close()
		select {
		case <-s.process.ended:
		case <-time.After(30 * time.Second):
			return fmt.Errorf("process %d does not end", i)
		}
		if s.process.err != nil {
			return fmt.Errorf("process %d: %w", i, s.process.err)
		}
	}
	return nil
}

// retire takes the applications to new-only on the evidence of a census, and lets them work on without the old region. Where the census finds
// something old it leaves them alone: the result says so.
func (o *orchestra) retire(ctx context.Context, db *sql.DB, cloud *kmstest.Cloud, old kmstest.Match) error {
	left, err := o.left(ctx, db)
	if err != nil || left > 0 {
		return err
	}
	if err := o.roll(ctx, kmsmigrate.NewOnly); err != nil {
		return err
	}
	restore := cloud.Inject(kmstest.Fault{Outage: true, Match: old})
	defer restore()
	o.say("the old region is off the network")
	o.mu.Lock()
	o.alone = true
	o.mu.Unlock()
	return wait(ctx, min(o.step, time.Minute))
}

// left counts the records that the old key wraps, or nobody knows who.
func (o *orchestra) left(ctx context.Context, db *sql.DB) (int64, error) {
	store, err := o.declared(ctx, db)
	if err != nil {
		return 0, err
	}
	counting, err := o.envelope(ctx, kmsmigrate.Rewrite, perKey)
	if err != nil {
		return 0, err
	}
	defer counting.Close()
	census, err := rekey.TakeCensus(ctx, counting, store)
	if err != nil {
		return 0, err
	}
	return census.Held(kmsmigrate.SideOld) + census.Unowned(), nil
}

// check opens every record as the application will from now on: with the new key alone.
func (o *orchestra) check(ctx context.Context, db *sql.DB) error {
	store, err := o.declared(ctx, db)
	if err != nil {
		return err
	}
	if o.result.OldAfter, err = o.left(ctx, db); err != nil {
		return err
	}
	env, err := o.envelope(ctx, kmsmigrate.NewOnly, perKey+1) // which keeps data keys for a minute: records of one lie far apart
	if err != nil {
		return err
	}
	defer env.Close()
	records := make(chan rekey.Record, 64)
	var work sync.WaitGroup
	for range 16 {
		work.Go(func() {
			for rec := range records {
				o.judge(ctx, env, rec)
			}
		})
	}
	seen := 0
	for rec, err := range store.Scan(ctx, rekey.Range{}) {
		if err != nil {
			close(records)
			return err
		}
		if seen++; seen%100_000 == 0 {
			o.say("%d records compared", seen)
		}
		records <- rec
	}
	close(records)
	work.Wait()
	o.result.Lost += o.records - seen
	return nil
}

// judge opens one record and compares it with the ledger.
func (o *orchestra) judge(ctx context.Context, env *envelope.Envelope, rec rekey.Record) {
	var id int64
	_, err := fmt.Sscan(rec.ID, &id)
	var opened kmsmigrate.Opened
	if err == nil {
		opened, err = env.Open(ctx, rec.Value, contextOf(id))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err != nil {
		o.result.Unreadable++
		o.say("record %s: %v", rec.ID, err)
		return
	}
	revision, ok := revisionOf(id, opened.Plaintext)
	switch {
	case !ok:
		o.result.WrongIdentity++
	case revision < o.acked[id]:
		o.result.Overwritten++
		o.say("record %d has revision %d, and %d was acknowledged", id, revision, o.acked[id])
	case revision > o.begun[id]:
		o.result.Lost++
		o.say("record %d has revision %d, which nobody wrote", id, revision)
	}
}
