package kmsmigrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
)

var phases = []kmsmigrate.Phase{kmsmigrate.OldOnly, kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite, kmsmigrate.NewOnly}

// pair is an old key of KMS 1.0 and a new one of KMS 3.0.
func pair() (old, next *keytest.Key) {
	return keytest.New(keytest.Config{KMS1: true}), keytest.New(keytest.Config{})
}

func client(t *testing.T, phase kmsmigrate.PhaseSource, old, next kmsmigrate.Key) *kmsmigrate.Client {
	t.Helper()
	c, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: phase, Old: old, New: next})
	require.NoError(t, err)
	return c
}

func encrypt(t *testing.T, k interface {
	Encrypt(context.Context, []byte, kmsmigrate.EncryptionContext) ([]byte, error)
}, text string,
) []byte {
	t.Helper()
	blob, err := k.Encrypt(t.Context(), []byte(text), nil)
	require.NoError(t, err)
	return blob
}

func calls(k *keytest.Key) [2]int64 {
	e, d := k.Calls()
	return [2]int64{e, d}
}

// grid is the table of DESIGN.md, written out: a test must not ask the code what is right.
var grid = map[kmsmigrate.Phase]struct {
	writes             kmsmigrate.Side
	readsOld, readsNew bool
}{
	kmsmigrate.OldOnly:  {kmsmigrate.SideOld, true, false},
	kmsmigrate.ReadBoth: {kmsmigrate.SideOld, true, true},
	kmsmigrate.WriteNew: {kmsmigrate.SideNew, true, true},
	kmsmigrate.Rewrite:  {kmsmigrate.SideNew, true, true},
	kmsmigrate.NewOnly:  {kmsmigrate.SideNew, false, true},
}

// TestPhaseGrid has a process in every phase read what a process in every phase wrote.
func TestPhaseGrid(t *testing.T) {
	t.Parallel()
	for _, blind := range []bool{false, true} {
		for _, writer := range phases {
			for _, reader := range phases {
				t.Run(fmt.Sprintf("%s writes, %s reads, blind %t", writer, reader, blind), func(t *testing.T) {
					t.Parallel()
					// Each process has keys of its own, which have learned nothing from the other's.
					old, next := keytest.New(keytest.Config{KMS1: true, Blind: blind}), keytest.New(keytest.Config{KMS1: true, Blind: blind})
					a := client(t, writer, old.Clone(old.Ref()), next.Clone(next.Ref()))
					b := client(t, reader, old, next)
					blob := encrypt(t, a, "record")

					opened, err := b.Open(t.Context(), blob, nil)
					wrote := grid[writer].writes
					reads := grid[reader].readsOld
					if wrote == kmsmigrate.SideNew {
						reads = grid[reader].readsNew
					}
					near := (writer <= reader+1 && reader <= writer+1)
					if reader == kmsmigrate.NewOnly && wrote == kmsmigrate.SideOld {
						near = false // what is left under the old key is what the census is for
					}
					switch {
					case reads:
						require.NoError(t, err)
						require.Equal(t, "record", string(opened.Plaintext))
						require.Equal(t, wrote, opened.Side)
						require.Equal(t, reader == kmsmigrate.Rewrite && wrote == kmsmigrate.SideOld, opened.Stale)
					case reader == kmsmigrate.NewOnly:
						require.ErrorIs(t, err, kmsmigrate.ErrRetired)
						require.Equal(t, [2]int64{}, calls(old), "the old side must not be asked")
					default:
						require.ErrorIs(t, err, kmsmigrate.ErrNoKey)
						require.Equal(t, [2]int64{}, calls(next), "the new side must not be asked")
					}
					if near {
						require.NoError(t, err, "neighbouring phases must read each other's data")
					}
				})
			}
		}
	}
}

func TestThePhaseIsReadForEachOperation(t *testing.T) {
	t.Parallel()
	old, next := pair()
	var phase kmsmigrate.PhaseSwitch
	a, b := client(t, &phase, old, next), client(t, &phase, old, next)
	encrypt(t, a, "x")
	require.Equal(t, [2]int64{0, 0}, calls(next))
	require.NoError(t, phase.Set(kmsmigrate.ReadBoth))
	require.NoError(t, phase.Set(kmsmigrate.WriteNew))
	encrypt(t, a, "x")
	encrypt(t, b, "x")
	require.Equal(t, [2]int64{2, 0}, calls(next))
	require.Equal(t, kmsmigrate.WriteNew, b.Phase())
	still, err := b.At(kmsmigrate.ReadBoth)
	require.NoError(t, err)
	encrypt(t, still, "x")
	require.Equal(t, [2]int64{2, 0}, calls(old))
	_, err = b.At(kmsmigrate.Phase(9))
	require.ErrorIs(t, err, kmsmigrate.ErrPhase)
}

func TestAnOwnerIsAskedAlone(t *testing.T) {
	t.Parallel()
	old, next := pair()
	c := client(t, kmsmigrate.Rewrite, old, next)
	blob := encrypt(t, old, "x")
	_, err := c.Open(t.Context(), blob, nil)
	require.NoError(t, err)
	require.Equal(t, [2]int64{1, 1}, calls(old))
	require.Equal(t, [2]int64{0, 0}, calls(next))
}

func TestWhatNobodyKnowsIsTriedInTheOrderOfThePhase(t *testing.T) {
	t.Parallel()
	for _, phase := range []kmsmigrate.Phase{kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite} {
		old, next := pair()
		var order []string
		watch := func(name string, k kmsmigrate.Key) kmsmigrate.Key {
			return keytest.Intercept(keytest.Blind(k), func(_ context.Context, _ keytest.Call, do func() ([]byte, error)) ([]byte, error) {
				order = append(order, name)
				return do()
			})
		}
		c := client(t, phase, watch("old", old), watch("new", next))
		_, err := c.Open(t.Context(), encrypt(t, keytest.New(keytest.Config{}), "x"), nil)
		require.ErrorIs(t, err, kmsmigrate.ErrNoKey)
		require.ErrorIs(t, err, kmsmigrate.ErrForeign, "the error keeps what each key answered")
		want := []string{"new", "old"}
		if phase == kmsmigrate.ReadBoth {
			want = []string{"old", "new"}
		}
		require.Equal(t, want, order, phase.String())
	}
}

func TestForeignCiphertextMakesNoCall(t *testing.T) {
	t.Parallel()
	old, next := pair()
	c := client(t, kmsmigrate.Rewrite, old, next)
	_, err := c.Open(t.Context(), encrypt(t, keytest.New(keytest.Config{}), "x"), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrNoKey)
	require.Equal(t, [2]int64{}, calls(old))
	require.Equal(t, [2]int64{}, calls(next))
}

// An outage must not become a stampede on the other side.
func TestOnlyForeignLeadsToTheOtherSide(t *testing.T) {
	t.Parallel()
	for _, fault := range []error{
		kmsmigrate.ErrThrottled, kmsmigrate.ErrUnavailable, kmsmigrate.ErrDenied, kmsmigrate.ErrKeyState, kmsmigrate.ErrBadAnswer,
		context.DeadlineExceeded, errors.New("anything else"),
	} {
		old, next := pair()
		c := client(t, kmsmigrate.Rewrite, keytest.Blind(old), keytest.Fail(keytest.Blind(next), fault))
		_, err := c.Open(t.Context(), encrypt(t, old, "x"), nil)
		require.ErrorIs(t, err, fault)
		require.Equal(t, [2]int64{1, 0}, calls(old), "the old side must not be asked after %v", fault)
	}
}

func TestARestoredCloneIsReadFromTheNewSideAndNotStale(t *testing.T) {
	t.Parallel()
	old, _ := pair()
	clone := old.Clone(kmsmigrate.KeyRef{Region: "cn-shanghai"})
	c := client(t, kmsmigrate.Rewrite, old, clone)
	blob := encrypt(t, old, "x")
	opened, err := c.Open(t.Context(), blob, nil)
	require.NoError(t, err)
	require.Equal(t, kmsmigrate.SideNew, opened.Side)
	require.False(t, opened.Stale)
	renewed, err := c.Renew(t.Context(), blob, nil)
	require.NoError(t, err)
	require.Nil(t, renewed.Ciphertext)
	require.Equal(t, [2]int64{1, 0}, calls(old))
}

func TestManyKeysInOneColumn(t *testing.T) {
	t.Parallel()
	oldA, newA := pair()
	oldB, newB := pair()
	oldest := keytest.New(keytest.Config{KMS1: true})
	c, err := kmsmigrate.NewClient(kmsmigrate.Config{
		Phase: kmsmigrate.Rewrite, Old: oldA, New: newA, Older: []kmsmigrate.Key{oldest},
		Pairs: []kmsmigrate.Pair{{Name: "alias/b", Old: oldB, New: newB}},
	})
	require.NoError(t, err)
	for name, test := range map[string]struct{ from, to *keytest.Key }{
		"a": {oldA, newA}, "b": {oldB, newB}, "older": {oldest, newA},
	} {
		blob := encrypt(t, test.from, name)
		opened, err := c.Open(t.Context(), blob, nil)
		require.NoError(t, err)
		require.True(t, opened.Stale)
		require.Equal(t, kmsmigrate.SideOld, opened.Side)
		renewed, err := c.Renew(t.Context(), blob, nil)
		require.NoError(t, err)
		require.Equal(t, test.from.Ref(), renewed.From)
		require.Equal(t, test.to.Ref(), renewed.To)
		opened, err = c.Open(t.Context(), renewed.Ciphertext, nil)
		require.NoError(t, err)
		require.Equal(t, name, string(opened.Plaintext))
		require.Equal(t, kmsmigrate.SideNew, opened.Side)
	}

	b, err := c.For("alias/b")
	require.NoError(t, err)
	info, err := c.Inspect(encrypt(t, b, "x"))
	require.NoError(t, err)
	require.Equal(t, newB.Ref(), info.Copies[0].Key)
	renewed, err := b.Renew(t.Context(), encrypt(t, oldA, "x"), nil)
	require.NoError(t, err)
	require.Equal(t, newA.Ref(), renewed.To, "the ciphertext's own pair decides, not the view")
	_, err = c.For("alias/c")
	require.ErrorIs(t, err, kmsmigrate.ErrNoKey)
}

func TestRenewMakesThreeCallsAndNoneForWhatIsNew(t *testing.T) {
	t.Parallel()
	old, next := pair()
	c := client(t, kmsmigrate.Rewrite, old, next)
	ec := kmsmigrate.EncryptionContext{"tenant": "7"}
	blob, err := old.Encrypt(t.Context(), []byte("x"), ec)
	require.NoError(t, err)
	renewed, err := c.Renew(t.Context(), blob, ec)
	require.NoError(t, err)
	require.Equal(t, [2]int64{1, 1}, calls(old))
	require.Equal(t, [2]int64{1, 1}, calls(next), "encrypt and verify")
	again, err := c.Renew(t.Context(), renewed.Ciphertext, ec)
	require.NoError(t, err)
	require.Nil(t, again.Ciphertext)
	require.Equal(t, [2]int64{1, 1}, calls(next))
	got, err := next.Decrypt(t.Context(), renewed.Ciphertext, ec)
	require.NoError(t, err, "the encryption context travels along")
	require.Equal(t, "x", string(got))
}

func TestRenewIsRefusedOutsideRewrite(t *testing.T) {
	t.Parallel()
	for phase, want := range map[kmsmigrate.Phase]error{
		kmsmigrate.OldOnly: kmsmigrate.ErrPhase, kmsmigrate.ReadBoth: kmsmigrate.ErrPhase,
		kmsmigrate.WriteNew: kmsmigrate.ErrPhase, kmsmigrate.NewOnly: kmsmigrate.ErrRetired,
	} {
		old, next := pair()
		_, err := client(t, phase, old, next).Renew(t.Context(), encrypt(t, old, "x"), nil)
		require.ErrorIs(t, err, want, phase.String())
		require.Equal(t, [2]int64{1, 0}, calls(old))
		require.Equal(t, [2]int64{0, 0}, calls(next))
	}
}

// Invariant 2: nothing is handed back for storing that the new key did not open again.
func TestRenewRefusesWhatTheNewKeyDoesNotGiveBack(t *testing.T) {
	t.Parallel()
	for name, faulty := range map[string]func(kmsmigrate.Key) kmsmigrate.Key{
		"a ciphertext that does not open": func(k kmsmigrate.Key) kmsmigrate.Key { return keytest.Corrupt(k, "encrypt") },
		"another plaintext":               func(k kmsmigrate.Key) kmsmigrate.Key { return keytest.Corrupt(k, "decrypt") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, next := pair()
			renewed, err := client(t, kmsmigrate.Rewrite, old, faulty(next)).Renew(t.Context(), encrypt(t, old, "x"), nil)
			require.Error(t, err)
			require.Nil(t, renewed.Ciphertext)
		})
	}
}

// Invariant 5: an empty or truncated answer is an error, never a value.
func TestAnEmptyAnswerIsAnError(t *testing.T) {
	t.Parallel()
	old, next := pair()
	blob := encrypt(t, old, "x")
	fresh := encrypt(t, next, "x")
	empty := client(t, kmsmigrate.Rewrite, keytest.Empty(old), keytest.Empty(next))
	_, err := empty.Open(t.Context(), blob, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer)
	_, err = empty.Open(t.Context(), fresh, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer)
	_, err = empty.Encrypt(t.Context(), []byte("x"), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer)
	renewed, err := client(t, kmsmigrate.Rewrite, old, keytest.Empty(next)).Renew(t.Context(), blob, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer)
	require.Nil(t, renewed.Ciphertext)
	_, err = client(t, kmsmigrate.Rewrite, old, keytest.Truncate(next, 40)).Renew(t.Context(), blob, nil)
	require.Error(t, err, "a truncated ciphertext does not open again")
}

// A key that answers for another one, as an alias that was pointed elsewhere does, must not write.
func TestACiphertextThatItsKeyDoesNotOwnIsRefused(t *testing.T) {
	t.Parallel()
	old, next := pair()
	astray := misdirected{next, keytest.New(keytest.Config{})}
	_, err := client(t, kmsmigrate.WriteNew, old, astray).Encrypt(t.Context(), []byte("x"), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrBadAnswer)
}

type misdirected struct {
	kmsmigrate.Key
	to kmsmigrate.Key
}

func (m misdirected) Encrypt(ctx context.Context, p []byte, ec kmsmigrate.EncryptionContext) ([]byte, error) {
	return m.to.Encrypt(ctx, p, ec)
}

func TestWastedTrialsAreLimited(t *testing.T) {
	t.Parallel()
	old, next := pair()
	c, err := kmsmigrate.NewClient(kmsmigrate.Config{
		Phase: kmsmigrate.Rewrite, Old: keytest.Blind(old), New: keytest.Blind(next), WastedTrialsPerSecond: 0.001,
	})
	require.NoError(t, err)
	blob := encrypt(t, old, "x")
	_, err = c.Open(t.Context(), blob, nil) // the one that is free
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 1000*1000) // 1 ms: there is no token for a quarter of an hour
	defer cancel()
	_, err = c.Open(ctx, blob, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrThrottled)
	require.Equal(t, int64(1), calls(old)[1], "the other side was not asked")

	unlimited, err := kmsmigrate.NewClient(kmsmigrate.Config{
		Phase: kmsmigrate.Rewrite, Old: keytest.Blind(old), New: keytest.Blind(next), WastedTrialsPerSecond: -1,
	})
	require.NoError(t, err)
	for range 300 {
		_, err = unlimited.Open(t.Context(), blob, nil)
		require.NoError(t, err)
	}
}

func TestInspectMakesNoCall(t *testing.T) {
	t.Parallel()
	old, next := pair()
	c := client(t, kmsmigrate.NewOnly, old, next)
	stranger := keytest.New(keytest.Config{KMS1: true})
	for _, test := range []struct {
		key  *keytest.Key
		side kmsmigrate.Side
		own  kmsmigrate.Ownership
		want kmsmigrate.KeyRef
	}{
		{old, kmsmigrate.SideOld, kmsmigrate.Mine, old.Ref()},
		{next, kmsmigrate.SideNew, kmsmigrate.Mine, next.Ref()},
		{stranger, kmsmigrate.SideUnknown, kmsmigrate.Unknown, kmsmigrate.KeyRef{VersionID: stranger.Ref().VersionID}},
	} {
		blob := encrypt(t, test.key, "x")
		before := calls(test.key)
		info, err := c.Inspect(blob)
		require.NoError(t, err)
		require.Equal(t, kmsmigrate.Info{Layout: "kms", Copies: []kmsmigrate.Copy{{Key: test.want, Side: test.side, Owned: test.own}}}, info)
		require.Equal(t, before, calls(test.key))
	}
}

func TestBadInputIsRefusedBeforeAnyCall(t *testing.T) {
	t.Parallel()
	old, next := pair()
	c := client(t, kmsmigrate.Rewrite, old, next)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	blob := encrypt(t, old, "x")
	for name, test := range map[string]struct {
		do   func() error
		want error
		text string
	}{
		"encrypt nothing":   {func() error { _, err := c.Encrypt(t.Context(), nil, nil); return err }, kmsmigrate.ErrInvalid, "nothing was given"},
		"open nothing":      {func() error { _, err := c.Open(t.Context(), nil, nil); return err }, kmsmigrate.ErrInvalid, "nothing was given"},
		"renew nothing":     {func() error { _, err := c.Renew(t.Context(), []byte{}, nil); return err }, kmsmigrate.ErrInvalid, "nothing was given"},
		"inspect nothing":   {func() error { _, err := c.Inspect(nil); return err }, kmsmigrate.ErrInvalid, "no ciphertext"},
		"open a string":     {func() error { _, err := c.Open(t.Context(), []byte(kmsmigrate.EncodeBlob(blob)), nil); return err }, kmsmigrate.ErrInvalid, "DecodeBlob"},
		"renew a string":    {func() error { _, err := c.Renew(t.Context(), []byte(kmsmigrate.EncodeBlob(blob)), nil); return err }, kmsmigrate.ErrInvalid, "DecodeBlob"},
		"inspect a string":  {func() error { _, err := c.Inspect([]byte(kmsmigrate.EncodeBlob(blob))); return err }, kmsmigrate.ErrInvalid, "DecodeBlob"},
		"encrypt when done": {func() error { _, err := c.Encrypt(done, []byte("x"), nil); return err }, context.Canceled, ""},
		"open when done":    {func() error { _, err := c.Open(done, blob, nil); return err }, context.Canceled, ""},
		"renew when done":   {func() error { _, err := c.Renew(done, blob, nil); return err }, context.Canceled, ""},
	} {
		err := test.do()
		require.ErrorIs(t, err, test.want, name)
		require.ErrorContains(t, err, test.text, name)
	}
	for n := range 48 { // short and malformed: an error or a trial, and no panic
		_, err := c.Open(t.Context(), blob[:n], nil)
		require.Error(t, err)
	}
	require.Equal(t, int64(0), calls(next)[0])
}

func TestNewClientRefusesWhatCannotWork(t *testing.T) {
	t.Parallel()
	old, next := pair()
	var none *keytest.Key
	var sw kmsmigrate.PhaseSwitch
	for name, test := range map[string]struct {
		cfg  kmsmigrate.Config
		want string
	}{
		"no keys":                  {kmsmigrate.Config{}, "Config.Old is nil"},
		"no new key":               {kmsmigrate.Config{Phase: kmsmigrate.ReadBoth, Old: old}, "Config.New is nil"},
		"a nil pointer for a key":  {kmsmigrate.Config{Phase: kmsmigrate.ReadBoth, Old: old, New: none}, "Config.New is nil"},
		"no new key, and a switch": {kmsmigrate.Config{Phase: &sw, Old: old}, "Config.New is nil"},
		"no old key, and a switch": {kmsmigrate.Config{Phase: &sw, New: next}, "Config.Old is nil"},
		"one key on both sides":    {kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: old}, "old and on the new side"},
		"an unknown phase":         {kmsmigrate.Config{Phase: kmsmigrate.Phase(7), Old: old, New: next}, "phase(7)"},
		"a nil older key":          {kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: next, Older: []kmsmigrate.Key{nil}}, "Older[0] is nil"},
		"an older key that is new": {kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: next, Older: []kmsmigrate.Key{next}}, "old and on the new side"},
		"a pair without a name":    {kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: next, Pairs: []kmsmigrate.Pair{{Old: old, New: next}}}, "no Name"},
		"two pairs of one name": {kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: next, Pairs: []kmsmigrate.Pair{
			{Name: "a", Old: keytest.New(keytest.Config{}), New: next}, {Name: "a", Old: keytest.New(keytest.Config{}), New: next},
		}}, `named "a"`},
		"one old key in two pairs": {kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: next, Pairs: []kmsmigrate.Pair{
			{Name: "a", Old: old, New: keytest.New(keytest.Config{})},
		}}, "twice"},
		"a pair without a new key": {kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: next, Pairs: []kmsmigrate.Pair{
			{Name: "a", Old: keytest.New(keytest.Config{})},
		}}, `Pairs[0] ("a").New is nil`},
	} {
		_, err := kmsmigrate.NewClient(test.cfg)
		require.ErrorContains(t, err, test.want, name)
	}
	for _, cfg := range []kmsmigrate.Config{
		{Old: old}, // shipping the library before there is a new key
		{Phase: kmsmigrate.NewOnly, New: next},
		{Phase: kmsmigrate.Rewrite, Pairs: []kmsmigrate.Pair{{Name: "a", Old: old, New: next}}},
	} {
		_, err := kmsmigrate.NewClient(cfg)
		require.NoError(t, err)
	}
}

func TestAClientOfPairsOnlyAsksWhichToWriteWith(t *testing.T) {
	t.Parallel()
	old, next := pair()
	c, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Pairs: []kmsmigrate.Pair{{Name: "a", Old: old, New: next}}})
	require.NoError(t, err)
	_, err = c.Encrypt(t.Context(), []byte("x"), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrNoKey)
	require.ErrorContains(t, err, "Client.For")
	a, err := c.For("a")
	require.NoError(t, err)
	encrypt(t, a, "x")
}

// Invariant 6: what was handed in and what was handed out may be overwritten.
func TestResultsAreTheCallers(t *testing.T) {
	t.Parallel()
	old, next := pair()
	c := client(t, kmsmigrate.Rewrite, old, next)
	plaintext := []byte("record")
	blob, err := c.Encrypt(t.Context(), plaintext, nil)
	require.NoError(t, err)
	clear(plaintext)
	opened, err := c.Open(t.Context(), blob, nil)
	require.NoError(t, err)
	require.Equal(t, "record", string(opened.Plaintext))
	clear(opened.Plaintext)
	opened, err = c.Open(t.Context(), blob, nil)
	require.NoError(t, err)
	require.Equal(t, "record", string(opened.Plaintext))
}

// Invariant 1, at this level: whatever fails, no text holds what was planted.
func TestNoSecretInErrorsEventsOrValues(t *testing.T) {
	t.Parallel()
	const secret, value = "planted-plaintext-90b1", "planted-context-value-31d0"
	ec := kmsmigrate.EncryptionContext{"name": value}
	var log recorder
	var texts []string
	for _, phase := range phases {
		for _, wrong := range []kmsmigrate.EncryptionContext{ec, nil} {
			for _, faulty := range []func(kmsmigrate.Key) kmsmigrate.Key{
				keytest.Empty, keytest.Blind,
				func(k kmsmigrate.Key) kmsmigrate.Key { return keytest.Corrupt(k, "decrypt") },
				func(k kmsmigrate.Key) kmsmigrate.Key { return keytest.Fail(k, kmsmigrate.ErrDenied) },
			} {
				old, next := pair()
				c, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: phase, Old: faulty(old), New: faulty(next), Observer: &log})
				require.NoError(t, err)
				for _, key := range []*keytest.Key{old, next} {
					blob, err := key.Encrypt(t.Context(), []byte(secret), ec)
					require.NoError(t, err)
					opened, err := c.Open(t.Context(), blob, wrong)
					asJSON, err2 := json.Marshal(map[string]any{"opened": opened})
					require.NoError(t, err2)
					texts = append(texts, fmt.Sprintf("%v %+v %#v %v %s", err, err, opened, opened.LogValue(), asJSON))
					_, err = c.Renew(t.Context(), blob, wrong)
					texts = append(texts, fmt.Sprintf("%v %+v", err, err))
				}
				_, err = c.Encrypt(t.Context(), []byte(secret), ec)
				texts = append(texts, fmt.Sprintf("%v %+v", err, err))
			}
		}
	}
	texts = append(texts, fmt.Sprintf("%v %+v %#v %s", ec, ec, ec, ec.LogValue()))
	log.mu.Lock()
	for _, e := range log.ends {
		texts = append(texts, fmt.Sprintf("%v %+v %#v", e, e, e))
	}
	log.mu.Unlock()
	require.Greater(t, len(texts), 300)
	for _, text := range texts {
		require.NotContains(t, text, secret)
		require.NotContains(t, text, value)
	}
}

type recorder struct {
	mu   sync.Mutex
	ends []kmsmigrate.Event
	open int
}

func (r *recorder) Start(ctx context.Context, _ kmsmigrate.Event) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open++
	return context.WithValue(ctx, r, true)
}

func (r *recorder) End(ctx context.Context, e kmsmigrate.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Value(r) == true {
		r.open--
	}
	r.ends = append(r.ends, e)
}

func TestTheObserverSeesEveryCall(t *testing.T) {
	t.Parallel()
	old, next := pair()
	var log recorder
	c, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: next, Observer: &log})
	require.NoError(t, err)
	_, err = c.Renew(kmsmigrate.Background(t.Context()), encrypt(t, old, "x"), nil)
	require.NoError(t, err)
	require.Len(t, log.ends, 3)
	require.Zero(t, log.open, "End got the context that Start made")
	var got []string
	for _, e := range log.ends {
		require.NoError(t, e.Err)
		require.True(t, e.Background)
		got = append(got, e.Op+" "+e.Side.String()+" "+e.Key.KeyID)
	}
	require.Equal(t, []string{"decrypt old " + old.Ref().KeyID, "encrypt new " + next.Ref().KeyID, "verify new " + next.Ref().KeyID}, got)
}

func TestErrorsSayWhereAndWhat(t *testing.T) {
	t.Parallel()
	old, next := pair()
	blob := encrypt(t, old, "x")
	old.Disable()
	_, err := client(t, kmsmigrate.Rewrite, old, next).Open(t.Context(), blob, nil)
	var e *kmsmigrate.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, kmsmigrate.SideOld, e.Side)
	require.Equal(t, 409, e.HTTPStatus)
	require.Equal(t, "Rejected.Disabled", e.Code)
	for _, part := range []string{"decrypt", "old side", old.Ref().KeyID, "Rejected.Disabled", "409"} {
		require.ErrorContains(t, err, part)
	}
}

// lister knows its versions only once it was refreshed.
type lister struct {
	kmsmigrate.Key
	err       error
	refreshed bool
}

func (l *lister) Refresh(context.Context) error {
	l.refreshed = l.err == nil
	return l.err
}

func (l *lister) Owns(blob []byte) (kmsmigrate.KeyRef, kmsmigrate.Ownership) {
	if !l.refreshed {
		return kmsmigrate.KeyRef{}, kmsmigrate.Unknown
	}
	return l.Key.Owns(blob)
}

func TestRefreshSavesTheTrials(t *testing.T) {
	t.Parallel()
	old, next := pair()
	c := client(t, kmsmigrate.Rewrite, &lister{Key: old}, &lister{Key: next})
	blob := encrypt(t, old, "x")
	require.NoError(t, c.Refresh(t.Context()))
	_, err := c.Open(t.Context(), blob, nil)
	require.NoError(t, err)
	require.Equal(t, [2]int64{0, 0}, calls(next))
	info, err := c.Inspect(blob)
	require.NoError(t, err)
	require.Equal(t, kmsmigrate.SideOld, info.Copies[0].Side)
}

func TestRefreshWithoutPermissionIsNoError(t *testing.T) {
	t.Parallel()
	old, next := pair()
	for _, cannot := range []error{kmsmigrate.ErrDenied, kmsmigrate.ErrInvalid} {
		c := client(t, kmsmigrate.Rewrite, &lister{Key: old, err: cannot}, next)
		require.NoError(t, c.Refresh(t.Context()))
		_, err := c.Open(t.Context(), encrypt(t, old, "x"), nil)
		require.NoError(t, err, "it is tried instead")
	}
	c := client(t, kmsmigrate.Rewrite, &lister{Key: old, err: kmsmigrate.ErrUnavailable}, next)
	err := c.Refresh(t.Context())
	require.ErrorIs(t, err, kmsmigrate.ErrUnavailable)
	require.ErrorContains(t, err, "old side")
	done, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, c.Refresh(done), context.Canceled)
}

// A data key that does not open its record must not be wrapped anew.
func TestRenewIfWrapsNothingThatDoesNotFit(t *testing.T) {
	t.Parallel()
	old, next := pair()
	wrong := errors.New("not the record's data key")
	renewed, err := client(t, kmsmigrate.Rewrite, old, next).RenewIf(t.Context(), encrypt(t, old, "x"), nil, func(plaintext []byte) error {
		require.Equal(t, "x", string(plaintext))
		return wrong
	})
	require.ErrorIs(t, err, wrong)
	require.Nil(t, renewed.Ciphertext)
	require.Equal(t, [2]int64{0, 0}, calls(next))
}

func TestARecordStandsWhereItsWorstValueDoes(t *testing.T) {
	t.Parallel()
	of := func(value int, side kmsmigrate.Side) kmsmigrate.Copy {
		return kmsmigrate.Copy{Value: value, Side: side}
	}
	const none, old, next = kmsmigrate.SideUnknown, kmsmigrate.SideOld, kmsmigrate.SideNew
	for _, test := range []struct {
		copies []kmsmigrate.Copy
		want   kmsmigrate.Side
	}{
		{[]kmsmigrate.Copy{of(0, old)}, old},
		{[]kmsmigrate.Copy{of(0, old), of(0, next)}, next},
		{[]kmsmigrate.Copy{of(0, none), of(0, old)}, old},
		{[]kmsmigrate.Copy{of(0, next), of(1, old)}, old},
		{[]kmsmigrate.Copy{of(0, old), of(0, next), of(1, old), of(1, next)}, next},
		{[]kmsmigrate.Copy{of(0, next), of(1, none)}, none},
	} {
		got, ok := kmsmigrate.Info{Copies: test.copies}.Standing()
		require.True(t, ok)
		require.Equal(t, test.want, got.Side)
	}
	_, ok := kmsmigrate.Info{}.Standing()
	require.False(t, ok)
}

// tagged cannot be compared with ==, which a map of keys would do.
type tagged struct {
	kmsmigrate.Key
	tags any
}

func TestKeysNeedNotBeComparable(t *testing.T) {
	t.Parallel()
	old, next := pair()
	c, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: tagged{old, []string{"a"}}, New: tagged{next, nil}})
	require.NoError(t, err)
	encrypt(t, c, "x")
}
