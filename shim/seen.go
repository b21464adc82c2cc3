package shim

import (
	"sync"
	"time"
)

// seen remembers the signatures of a caller's requests for as long as their time stamps are good. A signature is taken as it was computed
// here, not as it was spelled: base64, hex and headers have many spellings of one value. It also stands for the nonce, which it is made over,
// and for requests that have none, as those of some official SDKs.
//
// Signatures lie by the minute of their time stamp, so that a minute that has passed is forgotten as a whole.
type seen struct {
	mu      sync.Mutex
	minutes map[int64]map[[16]byte]struct{}
	held    int
	most    int
}

// mostSeen is for 4,600 requests a second, which is more than the shared gateway takes of an account: 1,000 of each class. A signature takes
// some 40 bytes, so a caller that uses it up costs 160 MB.
const mostSeen = 1 << 22

func newSeen() *seen { return &seen{minutes: map[int64]map[[16]byte]struct{}{}, most: mostSeen} }

// first reports whether a request comes for the first time, and whether no more can be remembered. stamp is its time stamp.
func (s *seen) first(signature []byte, stamp, now time.Time) (fresh, full bool) {
	var id [16]byte
	copy(id[:], signature) // nobody without the secret can make two that begin alike
	s.mu.Lock()
	defer s.mu.Unlock()
	minute := stamp.Unix() / 60
	if _, ok := s.minutes[minute][id]; ok {
		return false, false
	}
	// A minute longer than a stamp is good: it was checked a moment ago.
	for past, ids := range s.minutes {
		if time.Unix(past*60, 0).Add(2*time.Minute + maxSkew).Before(now) {
			s.held -= len(ids)
			delete(s.minutes, past)
		}
	}
	if s.held >= s.most {
		return false, true
	}
	if s.minutes[minute] == nil {
		s.minutes[minute] = map[[16]byte]struct{}{}
	}
	s.minutes[minute][id] = struct{}{}
	s.held++
	return true, false
}
