package verify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Memory is a Store in memory, and what files are read into. The zero value is empty and ready. It is safe for concurrent use.
type Memory struct {
	mu   sync.RWMutex
	keys map[version]Retained
}

type version struct{ key, id string }

// Add adds keys, all of them or, where one is refused, none: ErrInvalid for one that does not parse, ErrPinned where another
// public key is there under the same key id and version. Adding a key again can make its
// KeepUntil later, never earlier.
func (m *Memory) Add(keys ...Retained) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := make(map[version]Retained, len(m.keys)+len(keys))
	for at, r := range m.keys {
		next[at] = r
	}
	for _, r := range keys {
		if _, err := r.Parse(); err != nil {
			return err
		}
		at := version{r.KeyID, r.VersionID}
		if was, ok := next[at]; ok {
			if was.Fingerprint != r.Fingerprint {
				return fmt.Errorf("verify: %s is retained with the fingerprint %s already: %w", r.name(), was.Fingerprint, ErrPinned)
			}
			if was.KeepUntil.IsZero() || !r.KeepUntil.IsZero() && was.KeepUntil.After(r.KeepUntil) {
				r.KeepUntil = was.KeepUntil
			}
		}
		next[at] = r
	}
	m.keys = next
	return nil
}

// Find is the Store's.
func (m *Memory) Find(_ context.Context, keyID, versionID string) (Retained, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	r, ok := m.keys[version{keyID, versionID}]
	if !ok {
		return Retained{}, fmt.Errorf("verify: key %s version %s: %w", clip(keyID), clip(versionID), ErrUnknownKey)
	}
	return r, nil
}

// Keys returns all keys, ordered by key id and version.
func (m *Memory) Keys() []Retained {
	m.mu.RLock()
	defer m.mu.RUnlock()
	keys := make([]Retained, 0, len(m.keys))
	for _, r := range m.keys {
		keys = append(keys, r)
	}
	slices.SortFunc(keys, func(a, b Retained) int {
		return cmp.Or(cmp.Compare(a.KeyID, b.KeyID), cmp.Compare(a.VersionID, b.VersionID))
	})
	return keys
}

// Remove removes a key whose date has passed. It fails with ErrKept before that, and always for a key that is kept for ever,
// and with ErrUnknownKey where there is none.
func (m *Memory) Remove(keyID, versionID string, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := version{keyID, versionID}
	r, ok := m.keys[at]
	switch {
	case !ok:
		return fmt.Errorf("verify: key %s version %s: %w", clip(keyID), clip(versionID), ErrUnknownKey)
	case r.KeepUntil.IsZero():
		return fmt.Errorf("verify: %s: for ever: %w", r.name(), ErrKept)
	case !now.After(r.KeepUntil):
		return fmt.Errorf("verify: %s: until %s: %w", r.name(), r.KeepUntil.UTC().Format(time.RFC3339), ErrKept)
	}
	delete(m.keys, at)
	return nil
}

// document is the form of a file.
type document struct {
	Keys []Retained `json:"keys"`
}

// mostFile bounds what is read: 16 MiB hold some ten thousand keys.
const mostFile = 16 << 20

// Read reads the JSON form: {"keys": [Retained, …]}. It fails with ErrInvalid for what is not that, unknown fields and a
// second value included, and with ErrPinned for a key whose fingerprint does not match or that is named twice with two keys.
func Read(r io.Reader) (*Memory, error) {
	text, err := io.ReadAll(io.LimitReader(r, mostFile+1))
	if err != nil {
		return nil, fmt.Errorf("verify: reading retained keys: %w", err)
	}
	if len(text) > mostFile {
		return nil, fmt.Errorf("verify: the retained keys take more than %d bytes: %w", mostFile, ErrInvalid)
	}
	var d document
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return nil, fmt.Errorf("verify: retained keys: %w: %w", err, ErrInvalid)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("verify: retained keys: more than one JSON value: %w", ErrInvalid)
	}
	m := new(Memory)
	if err := m.Add(d.Keys...); err != nil {
		return nil, err
	}
	return m, nil
}

// ReadFile reads a file of the JSON form; see Read.
func ReadFile(name string) (*Memory, error) {
	return ReadFS(os.DirFS(filepath.Dir(name)), filepath.Base(name))
}

// ReadFS reads a file of the JSON form from a file system, such as one that is embedded in the program; see Read.
func ReadFS(from fs.FS, name string) (*Memory, error) {
	file, err := from.Open(name)
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	return Read(file)
}

// WriteTo writes the JSON form.
func (m *Memory) WriteTo(w io.Writer) (int64, error) {
	text, err := json.MarshalIndent(document{m.Keys()}, "", "  ")
	if err != nil {
		return 0, fmt.Errorf("verify: %w", err)
	}
	n, err := w.Write(append(text, '\n'))
	return int64(n), err
}

// WriteFile writes the JSON form to a file, in one step: a reader sees the old file or the new one, also when the machine
// stops meanwhile. The file can be read by everybody: there is nothing secret in it.
func (m *Memory) WriteFile(name string) (err error) {
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // it may not be there any more
		}
	}()
	_, err = m.WriteTo(file)
	if err = errors.Join(err, file.Chmod(0o644), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if err = os.Rename(file.Name(), name); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}
