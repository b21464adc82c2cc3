package rekey

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Fleet divides a rate of KMS calls among all processes that sweep: the service counts its quota by account and region, not
// by process. Every process makes one with the same Notebook, Name and PerSecond, and gives it to its sweeps.
type Fleet struct {
	// Notebook is what they share, and Name what they share in it: an account and region. Both are required.
	Notebook Notebook
	Name     string
	// PerSecond is how many KMS calls all sweeps together may make in a second: the quota, less what foreground traffic
	// needs. A renewal counts as three, except for records whose data key was renewed already.
	PerSecond float64
	// Every is how often a process says that it is there, and looks who else is. One that has said nothing for ten times as
	// long no longer has a share. Zero means one second.
	Every time.Duration

	once    sync.Once
	limiter *rate.Limiter
	line    chan struct{} // holds one token while somebody is the next to get calls from the limiter
	me      string

	life    sync.Mutex // held while this process joins or leaves
	running int        // sweeps that have joined
	stop    func()     // ends what keep does, and waits for it

	mu        sync.Mutex
	changed   chan struct{} // closed, and made anew, when the share is another
	throttled time.Time     // when a call was throttled the last time
	others    map[string]beat
}

// callsPerRenewal is what a renewal costs: decrypt, encrypt, verify.
const callsPerRenewal = 3

// floor is the part of its share that a process keeps while calls are throttled, because somebody else uses the quota, and
// while it does not know what the others have. floorTime is how long it keeps to it after a call was throttled.
const (
	floor     = 0.1
	floorTime = 30 * time.Second
)

type beat struct {
	N  int64
	at time.Time // when it was first seen at N, by this process's clock
}

// fleetNote is what the processes share: for each a number that goes up, the calls per second that it has taken, and
// whether they are throttled. Who comes takes what the others have left, and they give way at their next beat, so that
// together they never have more than there is, but for the floor of who has just come.
type fleetNote map[string]member

type member struct {
	Beat      int64   `json:"beat"`
	Rate      float64 `json:"rate,omitempty"`
	Throttled bool    `json:"throttled,omitempty"`
}

func (f *Fleet) check() error {
	switch {
	case f == nil:
		return nil
	case f.Notebook == nil, f.Name == "":
		return fmt.Errorf("rekey: a Fleet needs a Notebook and a Name: %w", kmsmigrate.ErrInvalid)
	case f.PerSecond <= 0, f.Every < 0:
		return fmt.Errorf("rekey: a Fleet needs a positive PerSecond: %w", kmsmigrate.ErrInvalid)
	}
	f.once.Do(func() {
		f.me = rand.Text()
		f.others = map[string]beat{}
		f.line, f.changed = make(chan struct{}, 1), make(chan struct{})
		// Until the others are known, and whenever they are not: the floor.
		f.limiter = rate.NewLimiter(rate.Limit(f.PerSecond*floor), callsPerRenewal)
	})
	return nil
}

// Share returns how many KMS calls per second this process may make now.
func (f *Fleet) Share() float64 {
	if f.check() != nil {
		return 0
	}
	return float64(f.limiter.Limit())
}

// turn waits for a renewal's calls. One at a time waits for the limiter, so that what the share becomes meanwhile counts for
// everyone: a limiter makes who waits in it wait by the rate of before.
func (f *Fleet) turn(ctx context.Context) error {
	if f == nil {
		return nil
	}
	select {
	case f.line <- struct{}{}:
		defer func() { <-f.line }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		calls := f.limiter.ReserveN(time.Now(), callsPerRenewal)
		delay := calls.Delay()
		if delay == 0 {
			return ctx.Err()
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
			return ctx.Err()
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
		calls.Cancel()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// share sets how many calls per second this process may make. A tenth of a second's may be made at once: what was not used
// while a page was read or a lease was renewed is not lost.
func (f *Fleet) share(perSecond float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if rate.Limit(perSecond) == f.limiter.Limit() {
		return
	}
	f.limiter.SetLimit(rate.Limit(perSecond))
	f.limiter.SetBurst(max(callsPerRenewal, int(perSecond/10)))
	close(f.changed)
	f.changed = make(chan struct{})
}

// failed hears of failed renewals.
func (f *Fleet) failed(err error) {
	if f == nil || !errors.Is(err, kmsmigrate.ErrThrottled) {
		return
	}
	f.mu.Lock()
	f.throttled = time.Now()
	f.mu.Unlock()
	f.share(min(f.Share(), f.PerSecond*floor))
}

// join says that this process sweeps, until as many have called leave. One of its goroutines keeps saying so.
func (f *Fleet) join(ctx context.Context) (leave func()) {
	if f == nil {
		return func() {}
	}
	f.life.Lock()
	defer f.life.Unlock()
	if f.running++; f.running == 1 {
		beating, stop := context.WithCancel(context.WithoutCancel(ctx))
		var beats sync.WaitGroup
		beats.Go(func() { f.keep(beating) })
		f.stop = func() { stop(); beats.Wait() }
	}
	return sync.OnceFunc(func() {
		f.life.Lock()
		defer f.life.Unlock()
		if f.running--; f.running > 0 {
			return
		}
		f.stop()
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		defer cancel()
		_, _ = f.meet(leaving, true) // if it fails, the others notice by themselves
		f.share(f.PerSecond * floor) // until it comes again and knows more
	})
}

// keep says that this process is there until ctx is done.
func (f *Fleet) keep(ctx context.Context) {
	unheard := 0
	for ctx.Err() == nil {
		share, err := f.meet(ctx, false)
		switch {
		case err == nil:
			unheard = 0
			f.share(share)
		case ctx.Err() == nil:
			if unheard++; unheard >= 3 { // fails closed: the others may be many
				f.share(f.PerSecond * floor / float64(f.known()))
			}
		}
		if sleep(ctx, f.every()) != nil {
			return
		}
	}
}

func (f *Fleet) every() time.Duration {
	if f.Every == 0 {
		return time.Second
	}
	return f.Every
}

// meet writes this process's beat and returns its share.
func (f *Fleet) meet(ctx context.Context, leave bool) (share float64, err error) {
	name := "rate/" + f.Name
	for {
		text, revision, err := f.Notebook.Read(ctx, name)
		if err != nil {
			return 0, err
		}
		members := fleetNote{}
		if revision > 0 {
			if err := json.Unmarshal(text, &members); err != nil {
				return 0, fmt.Errorf("rekey: the note %q is not a fleet's: %w", name, kmsmigrate.ErrInvalid)
			}
		}
		f.bury(members)
		if leave {
			delete(members, f.me)
		} else {
			share = f.take(members)
		}
		if share < f.Share() { // before the others read of it
			f.share(share)
		}
		if text, err = json.Marshal(members); err != nil {
			return 0, err
		}
		err = f.Notebook.Write(ctx, name, text, revision)
		if !errors.Is(err, ErrConflict) {
			return share, err
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// take puts this process among the members and returns its share: as much as each of them may have, if the others have left
// that much.
func (f *Fleet) take(members fleetNote) float64 {
	f.mu.Lock()
	mine := member{Beat: members[f.me].Beat + 1, Throttled: !f.throttled.IsZero() && time.Since(f.throttled) < floorTime}
	f.mu.Unlock()
	members[f.me] = mine
	throttled, taken := false, 0.0
	for id, m := range members {
		throttled = throttled || m.Throttled
		if id != f.me {
			taken += m.Rate
		}
	}
	each := f.PerSecond / float64(len(members))
	mine.Rate = max(each*floor, min(each, f.PerSecond-taken))
	if throttled {
		mine.Rate = each * floor
	}
	members[f.me] = mine
	return mine.Rate
}

// bury removes the members whose beat has not changed for ten periods.
func (f *Fleet) bury(members fleetNote) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	for id, m := range members {
		was, ok := f.others[id]
		switch {
		case id == f.me:
		case !ok || was.N != m.Beat:
			f.others[id] = beat{m.Beat, now}
		case now.Sub(was.at) >= 10*f.every():
			delete(members, id)
		}
	}
	for id := range f.others {
		if _, there := members[id]; !there {
			delete(f.others, id)
		}
	}
}

// known is how many were alive when they were last heard of.
func (f *Fleet) known() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.others) + 1
}
