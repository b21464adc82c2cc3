package keytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// TestKey checks key against the rules that kmsmigrate.Key documents, and returns one error that joins every rule broken,
// or nil. other is a second key whose ciphertext key cannot open: of another id, region or account. Both must be able to
// encrypt. It makes about fifty calls on key and one on other. A key that only takes text, as the KMS OpenAPI does, passes: all
// plaintexts are UTF-8.
func TestKey(ctx context.Context, key, other kmsmigrate.Key) error {
	t := &suite{ctx: ctx, key: key}
	blob, err := key.Encrypt(ctx, []byte(secretText), testContext())
	if err != nil {
		return fmt.Errorf("keytest: Encrypt must work for the rest to be tested: %w", err)
	}
	if len(blob) == 0 {
		return errors.New("keytest: Encrypt must return an error where it returns no bytes")
	}
	t.roundTrip(blob)
	t.otherContexts(blob)
	t.damaged(blob)
	t.ownership(blob, other)
	t.emptyAndDone(blob)
	t.dataKeys()
	t.concurrent()
	return errors.Join(t.broken...)
}

// What the suite plants, to look for it in errors.
const (
	secretText  = "keytest-plaintext-5f1c9e"
	secretValue = "keytest-context-value-77ab02"
)

func testContext() kmsmigrate.EncryptionContext {
	return kmsmigrate.EncryptionContext{"tenant": secretValue, "table": "customers"}
}

type suite struct {
	ctx    context.Context
	key    kmsmigrate.Key
	broken []error
}

// rule records a broken rule.
func (t *suite) rule(ok bool, format string, args ...any) {
	if !ok {
		t.broken = append(t.broken, fmt.Errorf("keytest: "+format, args...))
	}
}

// refuses checks that a call failed, gave no value, and said nothing that it should not.
func (t *suite) refuses(what string, value []byte, err error) {
	t.rule(err != nil, "%s must fail", what)
	t.rule(len(value) == 0, "%s must return no bytes beside its error", what)
	if err != nil {
		text := fmt.Sprintf("%v %+v", err, err)
		t.rule(!strings.Contains(text, secretText) && !strings.Contains(text, secretValue), "the error of %s shows the plaintext or a value of the encryption context", what)
	}
}

func (t *suite) roundTrip(blob []byte) {
	input := bytes.Clone(blob)
	ec := testContext()
	plaintext, err := t.key.Decrypt(t.ctx, input, ec)
	t.rule(err == nil, "Decrypt must open what Encrypt returned: %v", err)
	t.rule(string(plaintext) == secretText, "Decrypt must return the bytes that Encrypt was given")
	t.rule(bytes.Equal(input, blob) && len(ec) == len(testContext()), "Decrypt must not change what it is given")
	clear(plaintext)
	again, err := t.key.Decrypt(t.ctx, input, ec)
	t.rule(err == nil && string(again) == secretText, "what Decrypt returned is the caller's: overwriting it must not change the next answer")

	long := []byte(strings.Repeat("0123456789abcdef", 256)) // 4 KiB
	given := bytes.Clone(long)
	sealed, err := t.key.Encrypt(t.ctx, given, nil)
	t.rule(err == nil, "Encrypt must take 4 KiB and no encryption context: %v", err)
	t.rule(bytes.Equal(given, long), "Encrypt must not change what it is given")
	clear(given)
	opened, err := t.key.Decrypt(t.ctx, sealed, kmsmigrate.EncryptionContext{})
	t.rule(err == nil && bytes.Equal(opened, long), "an empty encryption context must equal none, and 4 KiB must come back: %v", err)
	second, err := t.key.Encrypt(t.ctx, long, nil)
	t.rule(err == nil && !bytes.Equal(second, sealed), "two encryptions of one plaintext must differ")
}

func (t *suite) otherContexts(blob []byte) {
	changed, fewer, more := testContext(), testContext(), testContext()
	changed["table"] = "orders"
	delete(fewer, "table")
	more["column"] = "phone"
	for what, ec := range map[string]kmsmigrate.EncryptionContext{
		"another value": changed, "an entry missing": fewer, "an entry more": more, "no encryption context": nil,
	} {
		value, err := t.key.Decrypt(t.ctx, blob, ec)
		t.refuses("Decrypt with "+what, value, err)
	}
}

func (t *suite) damaged(blob []byte) {
	for _, n := range []int{0, 1, 10, 35, 36, 47, 48, len(blob) - 1} {
		if n >= len(blob) {
			continue
		}
		what := fmt.Sprintf("Decrypt of the first %d bytes", n)
		value, err := t.call(what, func() ([]byte, error) { return t.key.Decrypt(t.ctx, blob[:n:n], testContext()) })
		t.refuses(what, value, err)
		_, err = t.call(fmt.Sprintf("Owns of the first %d bytes", n), func() ([]byte, error) { t.key.Owns(blob[:n:n]); return nil, nil })
		t.rule(err == nil, "%v", err)
	}
	for _, at := range []int{0, len(blob) / 2, len(blob) - 1} {
		bad := bytes.Clone(blob)
		bad[at] ^= 1
		value, err := t.key.Decrypt(t.ctx, bad, testContext())
		t.refuses(fmt.Sprintf("Decrypt with byte %d changed", at), value, err)
	}
	longer := append(bytes.Clone(blob), 0)
	value, err := t.key.Decrypt(t.ctx, longer, testContext())
	t.refuses("Decrypt with a byte appended", value, err)
}

// call turns a panic into an error.
func (t *suite) call(what string, do func() ([]byte, error)) (value []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			t.rule(false, "%s must not panic: %v", what, p)
			err = fmt.Errorf("%s: panic", what)
		}
	}()
	return do()
}

func (t *suite) ownership(blob []byte, other kmsmigrate.Key) {
	_, owned := t.key.Owns(blob)
	t.rule(owned != kmsmigrate.Foreign, "Owns must not call the key's own ciphertext Foreign")
	theirs, err := other.Encrypt(t.ctx, []byte(secretText), testContext())
	if err != nil {
		t.rule(false, "the other key must encrypt: %v", err)
		return
	}
	_, owned = t.key.Owns(theirs)
	t.rule(owned != kmsmigrate.Mine, "Owns must not call another key's ciphertext Mine")
	value, err := t.key.Decrypt(t.ctx, theirs, testContext())
	t.refuses("Decrypt of another key's ciphertext", value, err)
	t.rule(errors.Is(err, kmsmigrate.ErrForeign), "Decrypt of another key's ciphertext must wrap ErrForeign, got: %v", err)
	_, owned = t.key.Owns(theirs)
	t.rule(owned != kmsmigrate.Mine, "a failed Decrypt must teach Owns nothing")
}

func (t *suite) emptyAndDone(blob []byte) {
	value, err := t.key.Encrypt(t.ctx, nil, nil)
	t.refuses("Encrypt of nothing", value, err)
	done, cancel := context.WithCancel(t.ctx)
	cancel()
	value, err = t.key.Encrypt(done, []byte(secretText), testContext())
	t.refuses("Encrypt with a context that is done", value, err)
	t.rule(!errors.Is(err, kmsmigrate.ErrForeign), "a context that is done must not look foreign")
	value, err = t.key.Decrypt(done, blob, testContext())
	t.refuses("Decrypt with a context that is done", value, err)
	t.rule(!errors.Is(err, kmsmigrate.ErrForeign), "a context that is done must not look foreign")
}

// dataKeys is for keys that are a DataKeyGenerator.
func (t *suite) dataKeys() {
	generator, ok := t.key.(kmsmigrate.DataKeyGenerator)
	if !ok {
		return
	}
	for _, n := range []int{1, 16, 32, 1024} {
		plaintext, blob, err := generator.GenerateDataKey(t.ctx, n, testContext())
		t.rule(err == nil && len(plaintext) >= n && len(blob) > 0, "GenerateDataKey must make a data key of %d bytes: %v", n, err)
		if err != nil {
			continue
		}
		opened, err := t.key.Decrypt(t.ctx, blob, testContext())
		t.rule(err == nil && bytes.Equal(opened, plaintext), "Decrypt must return exactly the plaintext that GenerateDataKey returned: %v", err)
		again, _, err := generator.GenerateDataKey(t.ctx, n, testContext())
		t.rule(err == nil && (n < 16 || !bytes.Equal(again, plaintext)), "two data keys must differ: %v", err)
	}
	for _, n := range []int{-1, 0, 1025} {
		plaintext, blob, err := generator.GenerateDataKey(t.ctx, n, nil)
		t.refuses(fmt.Sprintf("GenerateDataKey of %d bytes", n), append(plaintext, blob...), err)
	}
}

func (t *suite) concurrent() {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range 8 {
		wg.Go(func() {
			text := fmt.Sprintf("%s-%d", secretText, i)
			blob, err := t.key.Encrypt(t.ctx, []byte(text), testContext())
			var plaintext []byte
			if err == nil {
				plaintext, err = t.key.Decrypt(t.ctx, blob, testContext())
			}
			mu.Lock()
			defer mu.Unlock()
			t.rule(err == nil && string(plaintext) == text, "eight goroutines at once must each get their own plaintext back: %v", err)
		})
	}
	wg.Wait()
}
