package rekey

import (
	"cmp"
	"context"
	"fmt"
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
	census := kmsmigrate.Census{Started: time.Now()}
	if codec == nil || store == nil {
		return census, fmt.Errorf("rekey: a census needs a Codec and a Scanner: %w", kmsmigrate.ErrInvalid)
	}
	held := map[kmsmigrate.Count]int64{}
	err := contained(func() error {
		for rec, err := range store.Scan(ctx, Range{}) {
			switch {
			case err != nil:
				return err
			case len(rec.Value) == 0:
				continue
			}
			census.Records++
			if info, err := codec.Inspect(rec.Value); err == nil && len(info.Copies) > 0 {
				held[standing(info)]++
			} else {
				census.Unreadable++
			}
		}
		return ctx.Err()
	})
	census.Ended = time.Now()
	for count, n := range held {
		count.Records = n
		census.Counts = append(census.Counts, count)
	}
	slices.SortFunc(census.Counts, compareCounts)
	if err != nil {
		return census, fmt.Errorf("rekey: the census stopped after %d records: %w", census.Records, err)
	}
	census.Complete = true
	return census, nil
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
