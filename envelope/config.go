package envelope

import (
	"fmt"
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Config is what [New] needs. Only Keys has no useful zero value.
type Config struct {
	// Keys wraps and unwraps data keys: both sides of the migration, and its phase.
	Keys *kmsmigrate.Client

	// Layout is the format that Seal writes. Nil means the own format.
	Layout Layout
	// Layouts are further formats that Open, Renew and Inspect take. The own format and Layout are always among them.
	Layouts []Layout
	// Suite is the algorithm that Seal uses in the own format. Zero means AES256GCM. Open takes every suite.
	Suite Suite

	// FreshKeys has Seal make a data key for every record, at one KMS call each. Otherwise records of one encryption
	// context share a data key within the bounds below: the KMS is called seldom, and moving them to another KMS key
	// costs three calls for all of them.
	FreshKeys bool
	// MaxMessages bounds how many records one data key seals. Zero means 1<<20. With random nonces of 96 bits, n records
	// have two of one nonce, which would break both, with a probability below n²/2⁹⁷: 2⁻⁵⁷ for the default and 2⁻³³ for
	// 1<<32, which is the most that New takes (NIST SP 800-38D, 8.3).
	MaxMessages int64
	// MaxBytes bounds how many bytes one data key seals. Zero means 64 GiB, 2³² blocks: what distinguishes them from random
	// bytes then is below 2⁻⁶⁵. A single longer record is still sealed, with a key of its own.
	MaxBytes int64

	// Generate has data keys made by the service, with its GenerateDataKey, where policy wants its random numbers: those of
	// records, streams and the Table. Each side that the phase comes to write with must be a kmsmigrate.DataKeyGenerator. It
	// costs the same one call, and what it makes is opened, shared and renewed like any other. It needs the own format or a
	// Layout whose records need one value, the base64 text of a data key. What is not that text of so many bytes is no data key.
	Generate bool
	// Prove has the key that wrapped a fresh data key unwrap it before anything is sealed with it: one more call for each. A service that answers with a
	// ciphertext which it does not open later would otherwise cost every record of the data key, and a cached one seals many.
	// Data keys of the Table, which seal a day's records each, are always proven, as are copies for the other side.
	Prove bool

	// Table holds the data keys of what Seal writes in the own format: records then name their data key instead of carrying
	// wrapped copies, and moving all of them to another KMS key is to renew the entries of the table. Nil means that
	// records carry their own. See KeyTable. Renew with a Table adds nothing to the Client's Ledger for the records that it moves: in
	// NewOnly their backups need the old key, or a sweep with a plain Envelope first. In Rewrite, Renew finds their data keys in the Table.
	Table KeyTable
	// TableContext is the encryption context that data keys in Table are wrapped under, whatever the records' own is.
	TableContext kmsmigrate.EncryptionContext
	// SealAge is how long Seal uses a data key. Zero means MaxAge, or a day with a Table, which gets an entry for each.
	SealAge time.Duration

	// WrapBoth has Seal and Renew wrap data keys for both sides from ReadBoth to Rewrite, so that a record opens through
	// whichever is up. Such a record counts as new. The phase's own side must answer. The other is asked at the same time; its
	// copy is stored when it has opened again, within half a second of the start. A record without it has one copy, and Stats
	// counts it; the other side is then not asked for five seconds, after which one data key finds out whether it is back. It needs the own format or a Layout that is a [MultiCopier] for Seal; records of other Layouts, which
	// have room for one copy, are renewed without it.
	WrapBoth bool
	// FailoversPerSecond lets Open try the next wrapped copy of a record when the service that should open the first does not
	// answer, throttles, or says that its key is disabled, at most so often, so that an outage of one side does
	// not become a stampede on the other. Zero means never.
	FailoversPerSecond float64

	// MaxAge is how long a data key stays in memory, for sealing and for opening. Zero means a minute; negative means that
	// none does, and then each Open makes a call of its own, shared with nobody, under its own context. Until a data key has
	// aged records open without the KMS, also when the key has just been disabled there: Flush ends that.
	MaxAge time.Duration
	// MaxEntries bounds how many data keys are kept for opening, and as many for sealing. Zero means 4096, of about 1 KB each.
	MaxEntries int
	// Timeout bounds the KMS calls for one data key that is to be kept, which callers may share and which therefore do not
	// end with the context of any of them. Zero means 30 seconds.
	Timeout time.Duration
}

// Envelope seals records and opens them. It is safe for concurrent use. Make it with [New].
type Envelope struct {
	keys        *kmsmigrate.Client
	layout      Layout // what Seal writes; nil for the own format
	layouts     []Layout
	suite       Suite
	fresh       bool
	maxMessages int64
	maxBytes    int64
	wrapBoth    bool
	seconds     *seconds // what is known of the other side
	wrong       *wrongCopies
	generate    bool
	keySize     int // with generate: of data keys of layout, in bytes
	prove       bool

	table        KeyTable
	tableContext kmsmigrate.EncryptionContext
	failovers    *rate.Limiter

	seed     maphash.Seed
	phase    atomic.Uint32 // the one that the caches were last used in
	opening  *cache[*openingKey]
	sealing  *cache[*sealingKey]
	single   *Envelope // the same without wrapBoth, with data keys of its own for sealing
	renewals *cache[*renewal]
	counts   *counts
	chunks   sync.Pool // of *[]byte for streams, with room for a sealed chunk and one byte
}

// New checks cfg and makes an Envelope of it, without a call to the KMS. It fails with kmsmigrate.ErrInvalid.
func New(cfg Config) (*Envelope, error) {
	if cfg.Keys == nil {
		return nil, invalid("Config.Keys is nil")
	}
	e := &Envelope{
		keys:     cfg.Keys,
		layout:   cfg.Layout,
		suite:    cfg.Suite,
		wrapBoth: cfg.WrapBoth,
		seconds:  &seconds{start: time.Now()},
		counts:   new(counts),
		wrong:    new(wrongCopies),
		generate: cfg.Generate,
		prove:    cfg.Prove || cfg.Table != nil,

		table:        cfg.Table,
		tableContext: cfg.TableContext.Clone(),
		failovers:    rate.NewLimiter(rate.Limit(cfg.FailoversPerSecond), int(math.Ceil(cfg.FailoversPerSecond))),
		seed:         maphash.MakeSeed(),
		fresh:        cfg.FreshKeys || cfg.MaxAge < 0,
		maxMessages:  cfg.MaxMessages,
		maxBytes:     cfg.MaxBytes,
	}
	if e.suite == 0 {
		e.suite = AES256GCM
	}
	if e.maxMessages == 0 {
		e.maxMessages = 1 << 20
	}
	if e.maxBytes == 0 {
		e.maxBytes = 64 << 30
	}
	switch {
	case !e.suite.valid():
		return nil, invalid("Config.Suite is neither AES256GCM nor SM4GCM")
	case e.maxMessages < 0 || e.maxMessages > 1<<32:
		return nil, invalid("Config.MaxMessages is not within 1 to 1<<32")
	case e.maxBytes < 0:
		return nil, invalid("Config.MaxBytes is negative")
	case cfg.MaxEntries < 0:
		return nil, invalid("Config.MaxEntries is negative")
	case !(cfg.FailoversPerSecond >= 0) || cfg.FailoversPerSecond > 1e9:
		return nil, invalid("Config.FailoversPerSecond is not a number from 0 to 1e9")
	case cfg.WrapBoth && !holdsCopies(cfg.Layout):
		return nil, invalid("Config.WrapBoth needs a format with room for several wrapped copies, and the layout has none")
	case cfg.Table != nil && cfg.Layout != nil:
		return nil, invalid("Config.Table is for the own format, and Config.Layout is another")
	case cfg.SealAge < 0:
		return nil, invalid("Config.SealAge is negative")
	case cfg.Timeout < 0:
		return nil, invalid("Config.Timeout is negative")
	}
	if err := e.setLayouts(cfg); err != nil {
		return nil, err
	}
	if cfg.Generate && cfg.Layout != nil {
		if e.keySize = dataKeySizeOf(cfg.Layout); e.keySize == 0 {
			return nil, invalid("Config.Generate: what records of layout %q need is not one data key as base64 text", cfg.Layout.Name())
		}
	}
	return e, e.makeCaches(cfg)
}

// setLayouts collects every layout once and refuses two of one name: counts and errors could not tell them apart.
func (e *Envelope) setLayouts(cfg Config) error {
	all := slices.Clone(cfg.Layouts)
	if cfg.Layout != nil && !slices.ContainsFunc(all, func(l Layout) bool { return l != nil && l.Name() == cfg.Layout.Name() }) {
		all = append(all, cfg.Layout)
	}
	names := map[string]bool{ownName: true}
	for i, l := range all {
		if l == nil {
			return invalid("Config.Layouts[%d] is nil", i)
		}
		if l.Name() == "" || names[l.Name()] {
			return invalid("Config.Layouts[%d]: the name %q is empty or taken", i, l.Name())
		}
		names[l.Name()] = true
	}
	e.layouts = all
	return nil
}

func (e *Envelope) makeCaches(cfg Config) (err error) {
	age, entries, timeout := cfg.MaxAge, cfg.MaxEntries, cfg.Timeout
	if age == 0 {
		age = time.Minute
	}
	if entries == 0 {
		entries = 4096
	}
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	if e.opening, err = newCache[*openingKey](entries, age, timeout); err != nil {
		return err
	}
	sealAge := age
	switch {
	case cfg.SealAge > 0:
		sealAge = cfg.SealAge
	case cfg.Table != nil:
		sealAge = 24 * time.Hour
	}
	if e.sealing, err = newCache[*sealingKey](entries, sealAge, timeout); err != nil {
		return err
	}
	if e.renewals, err = newCache[*renewal](entries, age, timeout); err != nil {
		return err
	}
	e.single = e
	if e.wrapBoth {
		e.single = e.sharing()
		e.single.wrapBoth, e.single.fresh, e.single.prove = false, e.fresh, e.prove
		e.single.opening, e.single.renewals, e.single.single = e.opening, e.renewals, e.single
		e.single.sealing, err = newCache[*sealingKey](entries, sealAge, timeout)
	}
	return err
}

// Flush forgets all data keys, so that the next use of each asks the KMS; the answer to a call that is under way serves those
// who wait for it and nobody after. Byte copies are overwritten when their last user
// is done. What Go's cipher objects hold stays in memory until the garbage collector has run.
func (e *Envelope) Flush() {
	e.opening.forget()
	e.sealing.forget()
	e.renewals.forget()
	if e.single != e {
		e.single.sealing.forget()
	}
}

// Close forgets all data keys and ends the goroutines that look for aged ones. The Envelope must not be used afterwards.
// One that is dropped without Close is collected all the same.
func (e *Envelope) Close() {
	e.opening.close()
	e.sealing.close()
	e.renewals.close()
	if e.single != e {
		e.single.sealing.close()
	}
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("envelope: %s: %w", fmt.Sprintf(format, args...), kmsmigrate.ErrInvalid)
}

// severalCopies tells whether records of a format have room for several copies of a value.
func severalCopies(l headers) bool {
	layout, ok := l.(Layout)
	return !ok || holdsCopies(layout)
}

func holdsCopies(l Layout) bool {
	if l == nil {
		return true
	}
	m, ok := l.(MultiCopier)
	return ok && m.HoldsCopies()
}
