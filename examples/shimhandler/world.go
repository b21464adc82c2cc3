package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

// world is a fake cloud with an old and a new key, and the handler before it.
type world struct {
	cloud        *kmstest.Cloud
	oldAt, newAt *kmstest.Region
	old          *kmstest.Key
	phase        *kmsmigrate.PhaseSwitch
	handler      *shim.Handler
	renewed      chan [2]string // what OnStale was told: the old ciphertext and the new one
}

func newWorld() (w *world, err error) {
	w = &world{phase: new(kmsmigrate.PhaseSwitch), renewed: make(chan [2]string, 100)}
	if w.cloud, err = kmstest.Start(kmstest.Config{}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.cloud.Close())
		}
	}()
	if w.oldAt, err = w.cloud.Region("cn-hangzhou"); err != nil {
		return nil, err
	}
	if w.newAt, err = w.cloud.Region("cn-shanghai"); err != nil {
		return nil, err
	}
	if w.old, err = w.oldAt.CreateKey(kmstest.KeySpec{Alias: "alias/orders"}); err != nil {
		return nil, err
	}
	next, err := w.newAt.CreateKey(kmstest.KeySpec{})
	if err != nil {
		return nil, err
	}
	w.handler, err = shim.NewHandler(
		shim.Config{
			Phase: w.phase,
			Old:   w.oldAt.GatewayConfig(), // alikms.GatewayConfig{Region: "cn-hangzhou", AccessKeyID: …}
			New:   w.newAt.GatewayConfig(),
			Keys:  kmsmigrate.KeyMap{Keys: map[string]string{"alias/orders": next.ID(), w.old.ID(): next.ID()}},
			// A real one stores the new value where the old one stands, by a compare-and-swap.
			OnStale: func(old, renewed string) { w.renewed <- [2]string{old, renewed} },
		},
		shim.Caller{AccessKeyID: appID, AccessKeySecret: appSecret, Actions: []string{"Encrypt", "Decrypt"}, Keys: []string{"alias/orders", w.old.ID()}},
	)
	return w, err
}

func (w *world) close() error { return errors.Join(w.handler.Close(), w.cloud.Close()) }

// tell has the application write a value and read all that it has, in every phase.
func (w *world) tell(ctx context.Context, app app, out io.Writer) error {
	var stored []string
	for _, phase := range []kmsmigrate.Phase{kmsmigrate.OldOnly, kmsmigrate.ReadBoth, kmsmigrate.WriteNew, kmsmigrate.Rewrite, kmsmigrate.NewOnly} {
		// A real migration enters new-only on the evidence of a census, by SetProven: see examples/quickstart.
		if err := w.phase.Jump(phase); err != nil {
			return err
		}
		if phase == kmsmigrate.NewOnly {
			if err := w.old.Disable(); err != nil {
				return err
			}
			say(out, "the old key is disabled")
		}
		w.cloud.ResetEvidence()
		made, err := expect(app, http.StatusOK, "Encrypt", map[string]string{"KeyId": "alias/orders", "Plaintext": fmt.Sprintf("order %d", len(stored)+1)})
		if err != nil {
			return err
		}
		stored = append(stored, made.Answer["CiphertextBlob"])
		say(out, "%-9s  Encrypt alias/orders  -> %s", phase, made.Side)
		stale := 0
		for n, blob := range stored {
			opened, err := expect(app, http.StatusOK, "Decrypt", map[string]string{"CiphertextBlob": blob})
			if err != nil {
				return err
			}
			if want := fmt.Sprintf("order %d", n+1); opened.Answer["Plaintext"] != want {
				return fmt.Errorf("value %d does not say what was written", n+1)
			}
			say(out, "%-9s  Decrypt value %d       -> %s", phase, n+1, opened.Side)
			if phase.Rewrites() && opened.Side == "old" {
				stale++
			}
		}
		for range stale {
			select {
			case pair := <-w.renewed:
				stored[slices.Index(stored, pair[0])] = pair[1]
			case <-time.After(time.Minute):
				return errors.New("a stale value was not renewed")
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if stale > 0 {
			say(out, "%-9s  %d values were renewed, and are stored anew", phase, stale)
		}
		say(out, "%-9s  the regions were called %d and %d times", phase, w.cloud.Count(w.oldAt.Match()), w.cloud.Count(w.newAt.Match()))
	}
	return w.refusals(app, out)
}

// refusals are calls that the application may not make.
func (w *world) refusals(app app, out io.Writer) error {
	say(out, "")
	for _, c := range []struct {
		action     string
		parameters map[string]string
	}{
		{"ScheduleKeyDeletion", map[string]string{"KeyId": "alias/orders", "PendingWindowInDays": "7"}},
		{"Encrypt", map[string]string{"KeyId": "alias/payroll", "Plaintext": "x"}},
	} {
		refused, err := expect(app, http.StatusForbidden, c.action, c.parameters)
		if err != nil {
			return err
		}
		say(out, "%s %s is refused: %s", c.action, c.parameters["KeyId"], refused.Answer["Code"])
	}
	return nil
}

// expect makes a call that must be answered with a status.
func expect(app app, status int, action string, parameters map[string]string) (result, error) {
	got, err := app.call(action, parameters)
	if err == nil && got.Status != status {
		err = fmt.Errorf("%s was answered with %d %s", action, got.Status, got.Answer["Code"])
	}
	return got, err
}

func say(out io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
