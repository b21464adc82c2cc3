package rekey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// sharedPlan is the note of a whole shared sweep. The first notes were the parts alone.
type sharedPlan struct {
	Store   string    `json:"store,omitempty"` // its Identity
	Started time.Time `json:"started,omitzero"`
	Parts   []Range   `json:"parts"`
}

// readPlan takes over the plan that somebody has made of this store.
func (r *runner) readPlan(text []byte) error {
	was := sharedPlan{}
	if json.Unmarshal(text, &was.Parts) != nil {
		was = sharedPlan{}
		if err := json.Unmarshal(text, &was); err != nil {
			was.Parts = nil
		}
	}
	if len(was.Parts) == 0 {
		return fmt.Errorf("rekey: the note %q is no plan of a sweep: %w", r.planName(), kmsmigrate.ErrInvalid)
	}
	identity, _ := identify(r.store)
	r.cut = was
	return sameStore(r.planName(), was.Store, identity)
}

// plan reads how the store is cut, or cuts it.
func (r *runner) plan(ctx context.Context) error {
	for {
		text, revision, err := r.Notebook.Read(ctx, r.planName())
		if err != nil {
			return fmt.Errorf("rekey: reading the plan of a shared sweep: %w", err)
		}
		if revision > 0 {
			return r.readPlan(text)
		}
		fresh := sharedPlan{Started: time.Now()}
		fresh.Store, _ = identify(r.store)
		if fresh.Parts, err = split(ctx, r.store, r.Parts); err != nil {
			return err
		}
		if text, err = json.Marshal(fresh); err != nil {
			return err
		}
		if err := r.Notebook.Write(ctx, r.planName(), text, 0); err != nil && !errors.Is(err, ErrConflict) {
			return fmt.Errorf("rekey: writing the plan of a shared sweep: %w", err)
		}
	}
}
