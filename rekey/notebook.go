package rekey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Notebook keeps small notes that several processes share: how far a sweep has come, who works on which part, who uses
// how much of a rate. Package rekeysql keeps one in a table of the user's database. It is safe for concurrent use.
type Notebook interface {
	// Read returns a note and its revision; revision 0 and no text when there is none.
	Read(ctx context.Context, name string) (text []byte, revision int64, err error)
	// Write replaces a note whose revision is still the given one, 0 for a note that does not exist yet, and gives it the
	// next revision. Otherwise it changes nothing and returns an error that wraps ErrConflict.
	Write(ctx context.Context, name string, text []byte, revision int64) error
}

// MemoryNotebook is a Notebook for one process. The zero value is empty and ready.
type MemoryNotebook struct {
	mu    sync.Mutex
	notes map[string]note
}

type note struct {
	text     []byte
	revision int64
}

// Read implements [Notebook].
func (m *MemoryNotebook) Read(ctx context.Context, name string) ([]byte, int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.notes[name]
	return append([]byte(nil), n.text...), n.revision, ctx.Err()
}

// Write implements [Notebook].
func (m *MemoryNotebook) Write(ctx context.Context, name string, text []byte, revision int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.notes[name].revision != revision {
		return fmt.Errorf("rekey: the note %q: %w", name, ErrConflict)
	}
	if m.notes == nil {
		m.notes = map[string]note{}
	}
	m.notes[name] = note{append([]byte(nil), text...), revision + 1}
	return nil
}

// CheckpointIn keeps a checkpoint in a notebook, under "checkpoint/" and name. The last to save wins: two sweeps of one
// name at a time do no harm, and do everything twice.
func CheckpointIn(n Notebook, name string) Checkpoint { return noteCheckpoint{n, "checkpoint/" + name} }

type noteCheckpoint struct {
	notebook Notebook
	name     string
}

func (c noteCheckpoint) Load(ctx context.Context) (m Mark, err error) {
	text, revision, err := c.notebook.Read(ctx, c.name)
	if err != nil || revision == 0 {
		return Mark{}, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return Mark{}, fmt.Errorf("the note %q is no checkpoint: %w: %w", c.name, err, kmsmigrate.ErrInvalid)
	}
	return m, nil
}

func (c noteCheckpoint) Save(ctx context.Context, m Mark) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return overwrite(ctx, c.notebook, c.name, text)
}

// overwrite writes a note whatever it holds.
func overwrite(ctx context.Context, n Notebook, name string, text []byte) error {
	for {
		_, revision, err := n.Read(ctx, name)
		if err != nil {
			return err
		}
		if err := n.Write(ctx, name, text, revision); !errors.Is(err, ErrConflict) {
			return err
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return err
		}
	}
}

// CheckpointFile keeps a checkpoint in a file, as JSON. It is replaced as a whole, so that a crash leaves the one before.
func CheckpointFile(path string) Checkpoint { return fileCheckpoint(path) }

type fileCheckpoint string

func (f fileCheckpoint) Load(context.Context) (m Mark, err error) {
	text, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return Mark{}, nil
	}
	if err != nil {
		return Mark{}, err
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return Mark{}, fmt.Errorf("%s is no checkpoint: %w: %w", string(f), err, kmsmigrate.ErrInvalid)
	}
	return m, nil
}

func (f fileCheckpoint) Save(_ context.Context, m Mark) (err error) {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(string(f)), filepath.Base(string(f))+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	if _, err := temp.Write(append(text, '\n')); err != nil {
		_ = temp.Close()
		return err
	}
	if err := temp.Sync(); err != nil {
		_ = temp.Close()
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	return os.Rename(temp.Name(), string(f))
}
