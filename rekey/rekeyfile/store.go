package rekeyfile

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/rekey"
)

// Config says which files belong to a [Store]. The zero value is all regular files, without an encryption context.
type Config struct {
	// Match chooses files by their path below the root, with slashes. Nil means all. Files whose names begin with .keyhaul-
	// never belong, and symbolic links are not followed.
	Match func(path string) bool
	// Context makes a file's encryption context of its path below the root. Nil means that there is none.
	Context func(path string) kmsmigrate.EncryptionContext
}

// Store is a directory tree as package rekey wants it: a Scanner, Swapper, Counter, Getter, Splitter and Identifier. A record's id is the file's
// path below the root, with slashes. It is safe for concurrent use.
type Store struct {
	root *os.Root
	dir  string // what root is, from the file system's root on
	cfg  Config
	mu   sync.Mutex // of this process; the lock file is for others
}

// Open returns the files below dir as a Store. Nothing outside of dir is ever read or written, whatever links say. Close it
// when it is no longer needed.
func Open(dir string, cfg Config) (*Store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("rekeyfile: %w: %w", err, kmsmigrate.ErrInvalid)
	}
	if full, err := filepath.Abs(dir); err == nil {
		dir = full
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return &Store{root: root, dir: dir, cfg: cfg}, nil
}

// Identity implements [rekey.Identifier]: the directory, and whether all of its files belong. Two choices of files in one directory
// have the same, and need names of their own.
func (s *Store) Identity() string {
	if s.cfg.Match != nil {
		return fmt.Sprintf("files of %q that Config.Match chooses", s.dir)
	}
	return fmt.Sprintf("files of %q", s.dir)
}

// Condition implements [rekey.Identifier].
func (s *Store) Condition() string {
	if s.cfg.Match != nil {
		return "the files that Config.Match chooses"
	}
	return ""
}

// Close gives the directory back.
func (s *Store) Close() error { return s.root.Close() }

// ours begins the names of this package's own files.
const ours = ".keyhaul-"

// belongs reports whether a path is one of the store's.
func (s *Store) belongs(name string) bool {
	return !strings.HasPrefix(path.Base(name), ours) && (s.cfg.Match == nil || s.cfg.Match(name))
}

// Get implements [rekey.Getter].
func (s *Store) Get(ctx context.Context, id string) (rekey.Record, error) {
	if err := ctx.Err(); err != nil {
		return rekey.Record{}, err
	}
	value, _, err := s.read(id)
	if err != nil {
		return rekey.Record{}, err
	}
	return s.record(id, value), nil
}

func (s *Store) record(id string, value []byte) rekey.Record {
	rec := rekey.Record{ID: id, Value: value}
	if s.cfg.Context != nil {
		rec.Context = s.cfg.Context(id)
	}
	return rec
}

// read returns a file's content and what it was then.
func (s *Store) read(id string) ([]byte, fs.FileInfo, error) {
	if !fs.ValidPath(id) || !s.belongs(id) {
		return nil, nil, fmt.Errorf("rekeyfile: %q is no file of this store: %w", id, rekey.ErrConflict)
	}
	info, err := s.root.Lstat(id)
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("rekeyfile: there is no file %q: %w", id, rekey.ErrConflict)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("rekeyfile: %w", err)
	}
	value, err := s.root.ReadFile(id)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", err, rekey.ErrConflict)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("rekeyfile: %w", err)
	}
	return value, info, nil
}

// Swap implements [rekey.Swapper]. It keeps the file's mode and times, and its owner where the process may set it. A file
// with further hard links is refused with [rekey.ErrRefused], because they would keep the old content.
func (s *Store) Swap(ctx context.Context, id string, prev, next []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now, info, err := s.read(id)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, prev) {
		return changed(id)
	}
	if links(info) > 1 {
		return fmt.Errorf("rekeyfile: %q has %d hard links, and the others would keep the old content: %w", id, links(info), rekey.ErrRefused)
	}
	temp, err := s.prepare(id, next, info)
	if err != nil {
		return err
	}
	defer func() { _ = s.root.Remove(temp) }() // it is gone when it was renamed
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	now, again, err := s.read(id)
	if err != nil {
		return err
	}
	if !bytes.Equal(now, prev) || !os.SameFile(info, again) {
		return changed(id)
	}
	if err := s.root.Rename(temp, id); err != nil {
		return fmt.Errorf("rekeyfile: %w", err)
	}
	return s.syncDir(path.Dir(id))
}

func changed(id string) error { return fmt.Errorf("rekeyfile: file %q: %w", id, rekey.ErrConflict) }

// Write replaces or creates a file, for applications that write while a sweep is under way. It takes the same lock, so no
// update is lost. The mode is that of the file where there is one.
func (s *Store) Write(ctx context.Context, id string, value []byte, mode fs.FileMode) error {
	if !fs.ValidPath(id) || !s.belongs(id) {
		return fmt.Errorf("rekeyfile: %q is no file of this store: %w", id, kmsmigrate.ErrInvalid)
	}
	if info, err := s.root.Lstat(id); err == nil {
		mode = info.Mode().Perm()
	}
	temp, err := s.fresh(id, value, mode)
	if err != nil {
		return err
	}
	defer func() { _ = s.root.Remove(temp) }()
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.root.Rename(temp, id); err != nil {
		return fmt.Errorf("rekeyfile: %w", err)
	}
	return s.syncDir(path.Dir(id))
}

// prepare writes next beside the file, with everything that the file has.
func (s *Store) prepare(id string, next []byte, info fs.FileInfo) (string, error) {
	temp, err := s.fresh(id, next, info.Mode().Perm())
	if err != nil {
		return "", err
	}
	if uid, gid, ok := owner(info); ok {
		_ = s.root.Lchown(temp, uid, gid) // only root may; everybody else owns the file already
	}
	err = s.root.Chmod(temp, info.Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky))
	if err == nil {
		err = s.root.Chtimes(temp, accessed(info), info.ModTime())
	}
	if err != nil {
		_ = s.root.Remove(temp)
		return "", fmt.Errorf("rekeyfile: %w", err)
	}
	return temp, nil
}

// fresh writes a new file in the directory of id and syncs it.
func (s *Store) fresh(id string, value []byte, mode fs.FileMode) (name string, err error) {
	name = path.Join(path.Dir(id), ours+rand.Text())
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return "", fmt.Errorf("rekeyfile: %w", err)
	}
	_, err = f.Write(value)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		_ = s.root.Remove(name)
		return "", fmt.Errorf("rekeyfile: %w", err)
	}
	return name, nil
}

// syncDir makes a renaming last. Not every file system can; the file itself is safe then too.
func (s *Store) syncDir(dir string) error {
	d, err := s.root.Open(dir)
	if err != nil {
		return fmt.Errorf("rekeyfile: %w", err)
	}
	_ = d.Sync()
	return d.Close()
}

// lockWait is how long Swap waits for another process before it returns ErrBusy.
const lockWait = time.Second

// lock takes the lock of every user of this package.
func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	s.mu.Lock()
	f, err := s.root.OpenFile(ours+"lock", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		s.mu.Unlock()
		return nil, fmt.Errorf("rekeyfile: %w", err)
	}
	give := func() {
		_ = f.Close() // which gives up the lock
		s.mu.Unlock()
	}
	for until := time.Now().Add(lockWait); ; {
		held, err := tryLock(f)
		switch {
		case err != nil:
			give()
			return nil, fmt.Errorf("rekeyfile: %w", err)
		case held:
			return give, nil
		case time.Now().After(until):
			give()
			return nil, fmt.Errorf("rekeyfile: another process holds the lock: %w", rekey.ErrBusy)
		}
		timer := time.NewTimer(5 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			give()
			return nil, ctx.Err()
		}
	}
}
