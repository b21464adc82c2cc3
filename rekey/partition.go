package rekey

import (
	"context"
	"fmt"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Splitter is an optional part of a Scanner: it cuts the store into parts of about the same size.
type Splitter interface {
	// Split returns n ranges or fewer, which together are the whole store, in its order and without gaps.
	Split(ctx context.Context, n int) ([]Range, error)
}

// Run sweeps one part of a store, from a cursor on, for a queue or workflow engine that has its own idea of who runs what:
// it can be stopped anywhere and run again, by anyone, with the last cursor that was reported or with an earlier one, or
// without any. report gets a new cursor from time to time (Options.CheckpointEvery), and at the end. Options.Checkpoint and
// Options.Range are not used.
func Run(ctx context.Context, codec Codec, store Store, part Range, cursor string, report func(cursor string), o Options) (Report, error) {
	o.Range, o.Checkpoint = part, nil
	if report != nil {
		o.Checkpoint = cursorCheckpoint{cursor, report, o.Name}
	} else if cursor != "" {
		o.Range.After = cursor
	}
	return Sweep(ctx, codec, store, o)
}

// cursorCheckpoint is a checkpoint that somebody else keeps.
type cursorCheckpoint struct {
	cursor string
	report func(string)
	sweep  string
}

func (c cursorCheckpoint) Load(context.Context) (Mark, error) {
	if c.cursor == "" {
		return Mark{}, nil
	}
	return Mark{Sweep: c.sweep, After: c.cursor}, nil
}

func (c cursorCheckpoint) Save(_ context.Context, m Mark) error {
	if m.After != "" {
		c.report(m.After)
	}
	return nil
}

// split cuts a store into n parts where it can, else into one.
func split(ctx context.Context, store Scanner, n int) ([]Range, error) {
	s, ok := store.(Splitter)
	if !ok || n <= 1 {
		return []Range{{}}, nil
	}
	parts, err := s.Split(ctx, n)
	if err != nil {
		return nil, fmt.Errorf("rekey: splitting the store: %w", err)
	}
	after := ""
	for i, part := range parts {
		if part.After != after || (part.Through == "") != (i == len(parts)-1) {
			return nil, fmt.Errorf("rekey: the store splits itself with a gap before part %d of %d: %w", i+1, len(parts), kmsmigrate.ErrInvalid)
		}
		after = part.Through
	}
	if len(parts) == 0 {
		return []Range{{}}, nil
	}
	return parts, nil
}
