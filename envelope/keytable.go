package envelope

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

const keyIDSize = 16

// KeyID names a data key in a [KeyTable].
type KeyID [keyIDSize]byte

// String returns 32 characters of hex.
func (id KeyID) String() string { return fmt.Sprintf("%x", id[:]) }

// ErrNoDataKey is what a KeyTable returns for an id that it does not have.
var ErrNoDataKey = errors.New("no such data key in the table")

// KeyTable is a store of data keys that all processes of an application share, a table of its database. An entry is a record of
// the own format with an empty plaintext, sealed with the data key under Config.TableContext. So moving every record of a
// database to another KMS key is to renew the few entries of this table, with package rekey or by hand, and touches no
// other. NewSQLKeyTable makes one over database/sql.
type KeyTable interface {
	// Get returns the entry of an id, or an error that wraps ErrNoDataKey.
	Get(ctx context.Context, id KeyID) ([]byte, error)
	// Add stores an entry under an id that may be there already: then it does nothing and returns nil. When it returns, every
	// process must be able to get the entry, because records that need it are about to be written.
	Add(ctx context.Context, id KeyID, entry []byte) error
}

// inTable reports whether the data key of a record is in a table, and what is wrong with the record if so.
func inTable(record []byte) (error, bool) { //nolint:revive // the error is the second thing to know
	if !isOwn(record) || len(record) <= countAt || record[countAt] != 0 {
		return nil, false
	}
	_, err := parse(record)
	return err, true
}

// isEntry reports whether a record can be an entry of a table: of the own format, with wrapped copies and an empty plaintext.
// Such a record is only ever wrapped anew. Sealed anew, or moved into a table, it would no longer hold the data key that
// every record which names it needs; and of a record that is no entry, there is nothing in it to protect.
func isEntry(record []byte) bool {
	h, err := parse(record)
	return err == nil && h.copies > 0 && len(h.payload) == tagSize
}

// tablePrefix returns what stands before the nonce of a record whose data key is in a table.
func tablePrefix(s Suite, commitment []byte, id KeyID) []byte {
	return append(append(appendFixed(nil, magic, s, commitment), 0), id[:]...)
}

// newTableKey makes a data key, and its entry in the table before anything is sealed with it.
func (e *Envelope) newTableKey(ctx context.Context, p kmsmigrate.Phase) (*sealingKey, error) {
	k, err := e.newSealingKey(ctx, p, e.tableContext)
	if err != nil {
		return nil, err
	}
	var id KeyID
	rand.Read(id[:])
	if err := e.table.Add(ctx, id, k.seal(nil, nil, k.bound)); err != nil {
		return nil, fmt.Errorf("envelope: adding data key %s to the table: %w", id, err)
	}
	k.prefix = tablePrefix(e.suite, k.prefix[6:fixedSize], id)
	return k, nil
}

// openFromTable opens a record whose data key is in the table. It is never stale: what there is to renew is the entry.
func (e *Envelope) openFromTable(ctx context.Context, p kmsmigrate.Phase, dst, record []byte, h header, ec kmsmigrate.EncryptionContext) (opened kmsmigrate.Opened, err error) {
	if e.table == nil {
		return kmsmigrate.Opened{}, invalid("the record's data key is in a KeyTable, and Config.Table is nil")
	}
	k, err := e.tableKey(ctx, p, h.suite, h.id)
	if err != nil {
		return kmsmigrate.Opened{}, err
	}
	if string(k.commitment[:]) != string(h.commitment) {
		return kmsmigrate.Opened{}, tampered(ownName, 6, "the data key in the table is not the one that the record commits to")
	}
	// What is left of the old side is the entry, so the record itself is never stale.
	err = k.openOwn(&opened, p, dst, record, &h, h.suite.bind(magic, h.commitment, ec), true)
	return opened, err
}

// tableKey returns a data key of the table, from the cache where the phase reads the side that it came from.
func (e *Envelope) tableKey(ctx context.Context, p kmsmigrate.Phase, s Suite, id []byte) (*openingKey, error) {
	hash := maphash.Bytes(e.seed, id)
	if k, ok := e.opening.get(hash); ok && k.is(forTable, s, id, nil) && k.serves(p) {
		return k, nil
	}
	id = slices.Clone(id)
	usable := func(k *openingKey) bool { return k.is(forTable, s, id, nil) && k.serves(p) }
	return e.opening.acquire(ctx, hash, identity(identify(nil, forTable, byte(s), nil, id)), p, usable, func(ctx context.Context) (*openingKey, error) {
		entry, err := e.entry(ctx, KeyID(id))
		if err != nil {
			return nil, err
		}
		if entry.suite != s {
			return nil, tampered(ownName, 5, "the data key in the table is of another suite")
		}
		// Past the cache: unwrapAny would keep the data key a second time.
		cold := e.cold()
		k, _, err := cold.unwrapAny(ctx, p, forOpening, s, entry.each(), e.tableContext, func(k *openingKey) error { return k.commits(&entry) })
		if err != nil {
			return nil, err
		}
		found := &openingKey{purpose: forTable, suite: s, wrapped: string(id), phase: p, side: k.side, ref: k.ref, count: k.count, aead: k.aead, commitment: k.commitment}
		found.retain(1)
		return found, nil
	})
}

// entry gets an entry of the table and parses it.
func (e *Envelope) entry(ctx context.Context, id KeyID) (header, error) {
	stored, err := e.table.Get(ctx, id)
	if err != nil {
		return header{}, fmt.Errorf("envelope: getting data key %s from the table: %w", id, err)
	}
	h, err := parse(stored)
	if err != nil {
		return header{}, fmt.Errorf("envelope: data key %s in the table: %w", id, err)
	}
	if h.copies == 0 {
		return header{}, badFormat(ownName, countAt, "data key %s in the table has no wrapped copy", id)
	}
	return h, nil
}

// moveToTable puts the data key of a record into the table, wrapped by the new side under the table's context and proved,
// and returns the record without its copies. All records of one wrapped data key share one entry, and one set of calls.
func (e *Envelope) moveToTable(ctx context.Context, p kmsmigrate.Phase, record []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.Renewed, error) {
	h, err := parse(record)
	if err != nil {
		return kmsmigrate.Renewed{}, err
	}
	copies := h.each()
	for i := range copies {
		copies[i] = slices.Clone(copies[i])
	}
	commitment, suite, ec := slices.Clone(h.commitment), h.suite, ec.Clone()
	// Processes that move records of one data key at the same time agree on its id, and so on one entry.
	sum := sha256.Sum256(slices.Concat([]byte("keyhaul data key in a table\x00"), commitment))
	key := KeyID(sum[:keyIDSize])
	id := identity(identify(nil, forMoving, byte(suite), ec, commitment))
	is := func(r *renewal) bool { return r.id == id }
	moved, err := e.renewals.acquire(ctx, maphash.String(e.seed, string(id)), id, p, is, func(ctx context.Context) (*renewal, error) {
		renewed, err := e.addToTable(ctx, p, key, suite, commitment, copies, ec)
		if err != nil {
			return nil, err
		}
		r := &renewal{id: id, Renewed: renewed}
		r.retain(1)
		return r, nil
	})
	if err != nil {
		return kmsmigrate.Renewed{}, err
	}
	defer moved.release()
	out := tablePrefix(h.suite, h.commitment, key)
	out = append(out, h.nonce...)
	return kmsmigrate.Renewed{Ciphertext: append(out, h.payload...), From: moved.From, To: moved.To}, nil
}

// addToTable makes the entry of a data key.
func (e *Envelope) addToTable(ctx context.Context, p kmsmigrate.Phase, key KeyID, suite Suite, commitment []byte, copies [][]byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.Renewed, error) {
	cold := e.cold()
	committed := header{suite: suite, commitment: commitment}
	// What was moved before is there: a record of a restored backup needs no old key then.
	if _, err := e.table.Get(ctx, key); !errors.Is(err, ErrNoDataKey) {
		to, err := e.provesEntry(ctx, p, key, suite, commitment)
		return kmsmigrate.Renewed{From: e.wrappedBy(copies[0])[0].Key, To: to}, err
	}
	old, _, err := cold.unwrapAny(ctx, p, forLayoutOpening, 0, copies, ec, func(k *openingKey) error { return committed.commitsTo(ownName, k.value) })
	if err != nil {
		return kmsmigrate.Renewed{}, err
	}
	defer old.release()
	dataKey, ok := decodeDataKey(old.value)
	if !ok {
		return kmsmigrate.Renewed{}, tampered(ownName, copiesAt, "the wrapped copy holds no data key of this format, 44 characters of base64")
	}
	defer clear(dataKey)
	aead, _, err := suite.derive(dataKey)
	if err != nil {
		return kmsmigrate.Renewed{}, fmt.Errorf("envelope: %s: %w", suite, err)
	}
	fresh, err := e.wrap(ctx, p, old.value, e.tableContext, true) // with a Table, wrap proves
	if err != nil {
		return kmsmigrate.Renewed{}, err
	}
	k := &sealingKey{aead: aead, bound: suite.bind(magic, commitment, e.tableContext)}
	if k.prefix, err = appendCopies(appendFixed(nil, magic, suite, commitment), fresh); err != nil {
		return kmsmigrate.Renewed{}, err
	}
	entry := k.seal(nil, nil, k.bound)
	if err := e.table.Add(ctx, key, entry); err != nil {
		return kmsmigrate.Renewed{}, fmt.Errorf("envelope: adding data key %s to the table: %w", key, err)
	}
	// What is in the table, ours or another's who was first, is what records will need. Ours is proven.
	to := e.wrappedBy(fresh[0])[0].Key
	if stored, err := e.table.Get(ctx, key); err != nil || !bytes.Equal(stored, entry) {
		if to, err = e.provesEntry(ctx, p, key, suite, commitment); err != nil {
			return kmsmigrate.Renewed{}, err
		}
	}
	return kmsmigrate.Renewed{From: old.ref, To: to}, nil
}

// provesEntry has the new side open the entry of a data key, past every cache, before a record's own copies are dropped for it. The
// entry can be one that nobody opens: of a target that was given up, damaged, or of another TableContext.
func (e *Envelope) provesEntry(ctx context.Context, p kmsmigrate.Phase, key KeyID, suite Suite, commitment []byte) (kmsmigrate.KeyRef, error) {
	stored, err := e.entry(ctx, key)
	if err != nil {
		return kmsmigrate.KeyRef{}, err
	}
	if !bytes.Equal(stored.commitment, commitment) || stored.suite != suite {
		return kmsmigrate.KeyRef{}, tampered(ownName, 6, "the table holds another data key under %s; the record is unchanged", key)
	}
	k, _, err := e.cold().unwrapAny(ctx, p, forOpening, suite, stored.each(), e.tableContext, func(k *openingKey) error { return k.commits(&stored) })
	if err != nil {
		return kmsmigrate.KeyRef{}, fmt.Errorf("envelope: data key %s is in the table already, and does not open; the record is unchanged. See that Config.TableContext "+
			"and the keys are those of who wrote the entry. If they are and this lasts, put the entry aside, delete it and renew the record again, which makes it anew: %w", key, err)
	}
	if k.side != kmsmigrate.SideNew {
		return kmsmigrate.KeyRef{}, fmt.Errorf("envelope: data key %s is in the table already, of the %s side; the record is unchanged. Renew the table's entries first: %w", key, k.side, kmsmigrate.ErrInvalid)
	}
	return k.ref, nil
}
