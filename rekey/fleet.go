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
	// Every is how often a process says that it is there, and looks who else is. One that has said nothing for three times
	// as long no longer has a share. Zero means 5 seconds.
	Every time.Duration

	once    sync.Once
	limiter *rate.Limiter
	me      string

	mu        sync.Mutex
	running   int
	throttled time.Time // when a call was throttled the last time
	others    map[string]beat
}

// callsPerRenewal is what a renewal costs: decrypt, encrypt, verify.
const callsPerRenewal = 3

// floor is the part of its share that a process keeps while calls are throttled: somebody else uses the quota.
const floor = 0.1

type beat struct {
	N  int64
	at time.Time // when it was first seen at N, by this process's clock
}

// fleetNote is what the processes share: for each a number that goes up, and whether its calls are throttled.
type fleetNote map[string]member

type member struct {
	Beat      int64 `json:"beat"`
	Throttled bool  `json:"throttled,omitempty"`
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

// turn waits for a renewal's calls.
func (f *Fleet) turn(ctx context.Context) error {
	if f == nil {
		return nil
	}
	return f.limiter.WaitN(ctx, callsPerRenewal)
}

// failed hears of failed renewals.
func (f *Fleet) failed(err error) {
	if f == nil || !errors.Is(err, kmsmigrate.ErrThrottled) {
		return
	}
	f.mu.Lock()
	f.throttled = time.Now()
	f.mu.Unlock()
	f.limiter.SetLimit(min(f.limiter.Limit(), rate.Limit(f.PerSecond*floor)))
}

// keep says that this process is there until ctx is done, then that it is not. Of several sweeps in a process one does it.
func (f *Fleet) keep(ctx context.Context) {
	if f == nil {
		return
	}
	every := f.every()
	f.mu.Lock()
	f.running++
	f.mu.Unlock()
	unheard := 0
	for ctx.Err() == nil {
		live, throttled, err := f.meet(ctx, false)
		switch {
		case err != nil:
			if unheard++; unheard >= 3 { // fails closed: the others may be many
				f.limiter.SetLimit(rate.Limit(f.PerSecond * floor / float64(max(1, live))))
			}
		case throttled:
			unheard = 0
			f.limiter.SetLimit(rate.Limit(f.PerSecond * floor / float64(live)))
		default:
			unheard = 0
			f.limiter.SetLimit(rate.Limit(f.PerSecond / float64(live)))
		}
		if sleep(ctx, every) != nil {
			break
		}
	}
	f.mu.Lock()
	f.running--
	last := f.running == 0
	f.mu.Unlock()
	if last {
		leaving, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveTimeout)
		defer cancel()
		_, _, _ = f.meet(leaving, true) // if it fails, the others notice by themselves
	}
}

func (f *Fleet) every() time.Duration {
	if f.Every == 0 {
		return 5 * time.Second
	}
	return f.Every
}

// meet writes this process's beat and returns how many are alive, itself included, and whether any is throttled.
func (f *Fleet) meet(ctx context.Context, leave bool) (live int, throttled bool, err error) {
	name := "rate/" + f.Name
	for {
		text, revision, err := f.Notebook.Read(ctx, name)
		if err != nil {
			return f.known(), false, err
		}
		members := fleetNote{}
		if revision > 0 {
			if err := json.Unmarshal(text, &members); err != nil {
				return f.known(), false, fmt.Errorf("rekey: the note %q is not a fleet's: %w", name, kmsmigrate.ErrInvalid)
			}
		}
		f.bury(members)
		f.mu.Lock()
		mine := member{Beat: members[f.me].Beat + 1, Throttled: !f.throttled.IsZero() && time.Since(f.throttled) < 6*f.every()}
		f.mu.Unlock()
		if leave {
			delete(members, f.me)
		} else {
			members[f.me] = mine
		}
		for _, m := range members {
			throttled = throttled || m.Throttled
		}
		if text, err = json.Marshal(members); err != nil {
			return f.known(), false, err
		}
		err = f.Notebook.Write(ctx, name, text, revision)
		if errors.Is(err, ErrConflict) {
			if err := sleep(ctx, time.Millisecond); err != nil {
				return f.known(), false, err
			}
			continue
		}
		return max(1, len(members)), throttled, err
	}
}

// bury removes the members whose beat has not changed for three periods.
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
		case now.Sub(was.at) >= 3*f.every():
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
