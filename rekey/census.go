package rekey

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// TakeCensus reads every record of store and counts, from headers alone and without a KMS call, which key wraps it. A
// record counts under the copy that [kmsmigrate.Info.Standing] returns: as the new side's when all of its values have a copy
// there, so that it opens without the old side. Records that hold nothing are not counted.
//
// It is Complete only with a nil error. What was counted until an error is returned with it. Where the store is a [Counter],
// a census that saw less than nine tenths of the records that were there when it began, and are there when it ends, is an
// error: it left some out.
func TakeCensus(ctx context.Context, codec Codec, store Scanner) (kmsmigrate.Census, error) {
	report, err := TakeCensusWith(ctx, codec, store, CensusOptions{})
	return report.Census, err
}

// Tally is a census in the making, for who reads records in a way of their own. Make it with [NewTally]; it is for one
// goroutine. [TakeCensus] is made of it.
type Tally struct {
	census kmsmigrate.Census
	held   map[kmsmigrate.Count]int64
}

// NewTally begins a census of records as they are after started.
func NewTally(started time.Time) *Tally {
	return &Tally{census: kmsmigrate.Census{Started: started}, held: map[kmsmigrate.Count]int64{}}
}

// resumed goes on with a census that broke off.
func resumed(c kmsmigrate.Census) *Tally {
	t := &Tally{census: c, held: map[kmsmigrate.Count]int64{}}
	for _, count := range c.Counts {
		n := count.Records
		count.Records = 0
		t.held[count] += n
	}
	return t
}

// Add counts a record, which must hold something, and returns the side that it stands on.
func (t *Tally) Add(codec Codec, rec Record) kmsmigrate.Side {
	t.census.Records++
	info, err := codec.Inspect(rec.Value)
	copied, ok := info.Standing()
	if err != nil || !ok {
		t.census.Unreadable++
		return kmsmigrate.SideUnknown
	}
	t.held[kmsmigrate.Count{Layout: info.Layout, Side: copied.Side, Owned: copied.Owned, Key: copied.Key}]++
	return copied.Side
}

// Census returns what was counted so far. complete says that these are all the records.
func (t *Tally) Census(complete bool) kmsmigrate.Census {
	c := t.census
	c.Ended, c.Complete = time.Now(), complete
	c.Counts = make([]kmsmigrate.Count, 0, len(t.held))
	for count, n := range t.held {
		count.Records = n
		c.Counts = append(c.Counts, count)
	}
	slices.SortFunc(c.Counts, compareCounts)
	return c
}

// compareCounts orders a census: the old side first, then by key.
func compareCounts(a, b kmsmigrate.Count) int {
	return cmp.Or(
		cmp.Compare(a.Side, b.Side), cmp.Compare(a.Layout, b.Layout),
		cmp.Compare(a.Key.Endpoint, b.Key.Endpoint), cmp.Compare(a.Key.Instance, b.Key.Instance), cmp.Compare(a.Key.KeyID, b.Key.KeyID),
		cmp.Compare(a.Key.VersionID, b.Key.VersionID), cmp.Compare(a.Key.Account, b.Key.Account), cmp.Compare(a.Key.Region, b.Key.Region),
		cmp.Compare(a.Owned, b.Owned),
	)
}
