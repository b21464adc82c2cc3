package envelope

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Stats is what an Envelope has done since it was made, and what its caches hold.
type Stats struct {
	Opens      []Opens // records opened, by the key that their data key needed
	Sealed     uint64  // records sealed
	DataKeys   uint64  // data keys made for them
	Single     uint64  // data keys that Config.WrapBoth wanted on both sides and that the other side did not wrap, in time or rightly
	NotAsked   uint64  // of Single: the other side was not asked, because it had not answered just before
	Failovers  uint64  // times that Open went on to another wrapped copy because a service did not answer
	CachedOpen int     // data keys in memory for opening, about
	CachedSeal int     // data keys in memory for sealing, about
}

// Opens is how often records were opened that need one wrapping key. The KMS sees only Unwraps: that an old key is idle
// there proves nothing while a cache still serves what it once unwrapped.
type Opens struct {
	Side    kmsmigrate.Side
	Key     kmsmigrate.KeyRef
	Records uint64 // records opened, from the cache or not
	Unwraps uint64 // calls to the KMS among them
}

// opens are the counters of one wrapping key. All its data keys share them.
type opens struct {
	records atomic.Uint64
	unwraps atomic.Uint64
}

type keySide struct {
	side kmsmigrate.Side
	ref  kmsmigrate.KeyRef
}

type counts struct {
	sealed   atomic.Uint64
	dataKeys atomic.Uint64
	single   atomic.Uint64
	notAsked atomic.Uint64
	failover atomic.Uint64

	mu   sync.Mutex
	keys map[keySide]*opens
}

func (c *counts) of(side kmsmigrate.Side, ref kmsmigrate.KeyRef) *opens {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil {
		c.keys = map[keySide]*opens{}
	}
	o := c.keys[keySide{side, ref}]
	if o == nil {
		o = new(opens)
		c.keys[keySide{side, ref}] = o
	}
	return o
}

// Stats returns the counters. Opens are in a stable order.
func (e *Envelope) Stats() Stats {
	s := Stats{
		Sealed:     e.counts.sealed.Load(),
		DataKeys:   e.counts.dataKeys.Load(),
		Single:     e.counts.single.Load(),
		NotAsked:   e.counts.notAsked.Load(),
		Failovers:  e.counts.failover.Load(),
		CachedOpen: e.opening.size(),
		CachedSeal: e.sealing.size(),
	}
	if e.single != e {
		s.CachedSeal += e.single.sealing.size()
	}
	e.counts.mu.Lock()
	for k, o := range e.counts.keys {
		s.Opens = append(s.Opens, Opens{Side: k.side, Key: k.ref, Records: o.records.Load(), Unwraps: o.unwraps.Load()})
	}
	e.counts.mu.Unlock()
	slices.SortFunc(s.Opens, func(a, b Opens) int {
		return cmp.Or(cmp.Compare(a.Side, b.Side), cmp.Compare(a.Key.String(), b.Key.String()))
	})
	return s
}
