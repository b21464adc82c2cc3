package plan

import (
	"fmt"
	"io"
	"time"
)

// StateSchema is the value of State.Schema that this version reads and writes.
const StateSchema = "keyhaul.state/1"

// State is how far the work has come.
type State struct {
	Schema string               `json:"schema"`
	Done   map[string]time.Time `json:"done"` // by step id
}

// ReadState reads a state from JSON.
func ReadState(r io.Reader) (State, error) {
	var s State
	return s, readJSON(r, "state", StateSchema, &s)
}

// Write saves s as indented JSON.
func (s State) Write(w io.Writer) error {
	s.Schema = StateSchema
	return writeJSON(w, "state", s)
}

// Standing is how a step stands.
type Standing string

// The standings.
const (
	Done    Standing = "done"
	Ready   Standing = "ready"   // everything before it is done, and nothing blocks it
	Blocked Standing = "blocked" // everything before it is done, and something blocks it
	Waiting Standing = "waiting" // something before it is not done
)

// Standings returns how each step of p stands, by id. A state that names a step that is not in the plan, or one that is done before what it
// waits for, is an error that names it: the plan changed, or something was done out of order.
func (p Plan) Standings(s State) (map[string]Standing, error) {
	out := make(map[string]Standing, len(p.Steps))
	done := 0
	for _, step := range p.Steps {
		_, finished := s.Done[step.ID]
		open := ""
		for _, id := range step.After {
			if out[id] != Done {
				open = id
			}
		}
		switch {
		case finished && open != "":
			return nil, invalidField("step "+step.ID, "done", "is set, and "+open+" before it is not")
		case finished:
			out[step.ID] = Done
			done++
		case open != "":
			out[step.ID] = Waiting
		case len(step.Blockers) > 0:
			out[step.ID] = Blocked
		default:
			out[step.ID] = Ready
		}
	}
	if done != len(s.Done) {
		for id := range s.Done {
			if _, ok := out[id]; !ok {
				return nil, invalidField("state", "done", fmt.Sprintf("names a step that is not in the plan: %s", id))
			}
		}
	}
	return out, nil
}
