package kmsmigrate

import (
	"fmt"
	"time"
)

// Census is a count of stored records by the key that wraps them, taken from their headers. Package rekey takes one, and
// [PhaseSwitch.SetProven] asks for it.
type Census struct {
	Name       string    `json:"name,omitempty"` // of what: "customers.secret"; the caller's to set
	Started    time.Time `json:"started"`        // before the first record was read
	Ended      time.Time `json:"ended"`          // after the last
	Complete   bool      `json:"complete"`       // the scan reached its end without an error
	Records    int64     `json:"records"`        // records seen
	Unreadable int64     `json:"unreadable"`     // records whose header nobody could read
	Counts     []Count   `json:"counts"`         // one for each wrapping key, in a stable order
}

// Count is how many records one key version wraps.
type Count struct {
	Layout  string    `json:"layout"`  // the record's format: "kms" for bare ciphertext
	Side    Side      `json:"side"`    // whose it is; SideUnknown where no configured key owns it
	Owned   Ownership `json:"owned"`   // how sure that is: Mine, or Unknown where only a trial could tell
	Key     KeyRef    `json:"key"`     // the wrapping key, as far as its header tells
	Records int64     `json:"records"` // records that it wraps
}

// Held returns how many records are wrapped by keys of side s.
func (c Census) Held(s Side) int64 {
	var n int64
	for _, count := range c.Counts {
		if count.Side == s {
			n += count.Records
		}
	}
	return n
}

// Unowned returns how many records no configured key owns, unreadable ones included. They block NewOnly: what nobody
// knows could be the old key's.
func (c Census) Unowned() int64 { return c.Held(SideUnknown) + c.Unreadable }

// Clear returns nil when the census proves that side s holds nothing: it is complete, counts no record there and none that
// is unowned. Otherwise the error says what stands in the way.
func (c Census) Clear(s Side) error {
	of := "the census"
	if c.Name != "" {
		of += " of " + c.Name
	}
	switch {
	case !c.Complete:
		return fmt.Errorf("%s is not complete: it stopped after %d records", of, c.Records)
	case c.Held(s) > 0:
		return fmt.Errorf("%s counts %d records on the %s side", of, c.Held(s), s)
	case c.Unowned() > 0:
		return fmt.Errorf("%s counts %d records that no configured key owns", of, c.Unowned())
	default:
		return nil
	}
}
