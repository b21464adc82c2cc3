package rekey

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// TakeCensus reads every record of store and counts, from headers alone and without a KMS call, which key wraps it. A
// record with a copy under the new side counts as the new side's; one that only the old side and unknown keys wrap
// counts as the old side's. Records that hold nothing are not counted.
//
// It is Complete only with a nil error. What was counted until an error is returned with it.
func TakeCensus(ctx context.Context, codec Codec, store Scanner) (kmsmigrate.Census, error) {
	report, err := TakeCensusWith(ctx, codec, store, CensusOptions{})
	return report.Census, err
}

// tally is a census in the making.
type tally struct {
	census kmsmigrate.Census
	held   map[kmsmigrate.Count]int64
}

func newTally(started time.Time) *tally {
	return &tally{census: kmsmigrate.Census{Started: started}, held: map[kmsmigrate.Count]int64{}}
}

// resumed goes on with a census that broke off.
func resumed(c kmsmigrate.Census) *tally {
	t := &tally{census: c, held: map[kmsmigrate.Count]int64{}}
	for _, count := range c.Counts {
		n := count.Records
		count.Records = 0
		t.held[count] += n
	}
	return t
}

// add counts a record and returns the side that it stands on.
func (t *tally) add(codec Codec, rec Record) kmsmigrate.Side {
	t.census.Records++
	info, err := codec.Inspect(rec.Value)
	if err != nil || len(info.Copies) == 0 {
		t.census.Unreadable++
		return kmsmigrate.SideUnknown
	}
	count := standing(info)
	t.held[count]++
	return count.Side
}

// end returns the census so far.
func (t *tally) end(complete bool) kmsmigrate.Census {
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

// standing returns the copy that a record is counted under: of the new side, else the old, else whichever comes first.
func standing(info kmsmigrate.Info) kmsmigrate.Count {
	best := info.Copies[0]
	for _, c := range info.Copies[1:] {
		if rank(c.Side) > rank(best.Side) {
			best = c
		}
	}
	return kmsmigrate.Count{Layout: info.Layout, Side: best.Side, Owned: best.Owned, Key: best.Key}
}

func rank(s kmsmigrate.Side) int {
	switch s {
	case kmsmigrate.SideNew:
		return 2
	case kmsmigrate.SideOld:
		return 1
	default:
		return 0
	}
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
