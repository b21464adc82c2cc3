package alikms_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

// faultOperation is one operation of one face.
type faultOperation struct {
	face   kmstest.Face
	action string
	method string // what makes it, as Type.Method; "": the one that is called like the action
	key    string // the id of the key whose requests alone are meant; "": all
	opens  bool   // an answer can mean that the ciphertext is another key's
	once   bool   // it creates something that nothing tells from others
	looks  bool   // after an answer that was lost, it looks whether the change was made
	plain  bool   // neither request nor answer holds what the faults' message quotes
	alone  bool   // others need what its faults would hit
	few    bool   // it goes the same way as others, so the faults of fewFaults will do
	before func() // makes the state that the operation changes
	do     func(ctx context.Context, g *alikms.Gateway, i *alikms.Instance) error
}

// faultOperations makes every operation that this package has, with inputs that the service would take.
func faultOperations(t *testing.T, w *world) []faultOperation {
	t.Helper()
	g, i := newGateway(t, w.gatewayConfig()), newInstance(t, w.instanceConfig())
	shared, dedicated := makeKey(t, w.region.CreateKey, kmstest.KeySpec{}), makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	signer, opener := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{Spec: "EC_P256"}), makeKey(t, w.instance.CreateKey, kmstest.KeySpec{Spec: "RSA_2048"})
	sharedSigner, sharedOpener := makeKey(t, w.region.CreateKey, kmstest.KeySpec{Spec: "EC_P256"}), makeKey(t, w.region.CreateKey, kmstest.KeySpec{Spec: "RSA_2048"})
	b := alikms.Binding{Context: plantedContext()}
	text, digest := []byte(plantedText), sha256.Sum256([]byte("message"))
	sealed, err := g.Encrypt(t.Context(), shared.ID(), text, b)
	require.NoError(t, err)
	blob, err := i.AdvanceEncrypt(t.Context(), dedicated.ID(), text, b)
	require.NoError(t, err)
	parts, err := i.Encrypt(t.Context(), dedicated.ID(), text, b)
	require.NoError(t, err)
	signature, err := i.Sign(t.Context(), signer.ID(), alikms.ECDSASHA256, digest[:])
	require.NoError(t, err)
	sharedSignature, err := g.AsymmetricSign(t.Context(), sharedSigner.ID(), sharedSigner.VersionIDs()[0], alikms.ECDSASHA256, digest[:])
	require.NoError(t, err)
	crypted, err := g.AsymmetricEncrypt(t.Context(), sharedOpener.ID(), sharedOpener.VersionIDs()[0], alikms.RSAOAEPSHA256, text)
	require.NoError(t, err)
	require.NoError(t, g.ControlPlane().CreateSecret(t.Context(), resource.SecretSpec{Name: "s", Value: resource.SecretValue{VersionID: "v1", Data: text}}))
	require.NotEmpty(t, opener.ID())

	type call = func(context.Context, *alikms.Gateway, *alikms.Instance) error
	on := func(face kmstest.Face, action string, do call) faultOperation {
		return faultOperation{face: face, action: action, do: do}
	}
	operations := []faultOperation{
		on(kmstest.Gateway, "Encrypt", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.Encrypt(ctx, shared.ID(), text, b)
			return err
		}),
		on(kmstest.Gateway, "Decrypt", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.Decrypt(ctx, sealed.Ciphertext, b)
			return err
		}),
		on(kmstest.Gateway, "GenerateDataKey", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.GenerateDataKey(ctx, shared.ID(), 32, b)
			return err
		}),
		on(kmstest.Gateway, "GenerateDataKeyWithoutPlaintext", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.GenerateDataKeyWithoutPlaintext(ctx, shared.ID(), 32, b)
			return err
		}),
		on(kmstest.Gateway, "ReEncrypt", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.ReEncrypt(ctx, sealed.Ciphertext, b, shared.ID(), b)
			return err
		}),
		on(kmstest.Gateway, "AsymmetricEncrypt", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.AsymmetricEncrypt(ctx, sharedOpener.ID(), sharedOpener.VersionIDs()[0], alikms.RSAOAEPSHA256, text)
			return err
		}),
		on(kmstest.Gateway, "AsymmetricDecrypt", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.AsymmetricDecrypt(ctx, sharedOpener.ID(), sharedOpener.VersionIDs()[0], alikms.RSAOAEPSHA256, crypted.Ciphertext)
			return err
		}),
		on(kmstest.Gateway, "AsymmetricSign", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.AsymmetricSign(ctx, sharedSigner.ID(), sharedSigner.VersionIDs()[0], alikms.ECDSASHA256, digest[:])
			return err
		}),
		on(kmstest.Gateway, "AsymmetricVerify", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.AsymmetricVerify(ctx, sharedSigner.ID(), sharedSigner.VersionIDs()[0], alikms.ECDSASHA256, digest[:], sharedSignature.Value)
			return err
		}),
		on(kmstest.Gateway, "GetPublicKey", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.GetPublicKey(ctx, sharedSigner.ID(), sharedSigner.VersionIDs()[0])
			return err
		}),
		on(kmstest.Gateway, "GetRandomPassword", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.GetRandomPassword(ctx, 20)
			return err
		}),
		on(kmstest.Gateway, "GetSecretValue", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.GetSecretValue(ctx, "s", "", "")
			return err
		}),
		on(kmstest.Protobuf, "AdvanceEncrypt", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, err := i.AdvanceEncrypt(ctx, dedicated.ID(), text, b)
			return err
		}),
		on(kmstest.Protobuf, "AdvanceDecrypt", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, err := i.AdvanceDecrypt(ctx, blob.Ciphertext, b)
			return err
		}),
		on(kmstest.Protobuf, "AdvanceGenerateDataKey", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, err := i.AdvanceGenerateDataKey(ctx, dedicated.ID(), 32, b)
			return err
		}),
		on(kmstest.Protobuf, "Encrypt", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, err := i.Encrypt(ctx, dedicated.ID(), text, b)
			return err
		}),
		on(kmstest.Protobuf, "Decrypt", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, err := i.Decrypt(ctx, parts, b)
			return err
		}),
		on(kmstest.Protobuf, "GenerateDataKey", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, _, err := i.GenerateDataKey(ctx, dedicated.ID(), 32, b)
			return err
		}),
		on(kmstest.Protobuf, "Sign", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, err := i.Sign(ctx, signer.ID(), alikms.ECDSASHA256, digest[:])
			return err
		}),
		on(kmstest.Protobuf, "Verify", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, err := i.Verify(ctx, signer.ID(), alikms.ECDSASHA256, digest[:], signature.Value)
			return err
		}),
		on(kmstest.Protobuf, "GetPublicKey", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, err := i.GetPublicKey(ctx, signer.ID())
			return err
		}),
		on(kmstest.Protobuf, "GenerateRandom", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, err := i.GenerateRandom(ctx, 32)
			return err
		}),
	}
	operations = append(append(operations, rareFaultOperations(t, w)...), planeFaultOperations(t, w)...)
	for n := range operations {
		o := &operations[n]
		o.opens = slices.Contains([]string{"Decrypt", "AdvanceDecrypt", "ReEncrypt", "ExportDataKey"}, o.action)
		o.alone = o.alone || o.action == "GetSecretValue"
		o.plain = o.plain || slices.Contains(nothingSecret, o.action)
		if o.method == "" {
			o.method = map[kmstest.Face]string{kmstest.Gateway: "Gateway.", kmstest.Protobuf: "Instance."}[o.face] + o.action
		}
		switch id := string(o.face) + "/" + o.action; {
		case o.key != "":
		case id == "protobuf/Encrypt", id == "protobuf/AdvanceEncrypt":
			o.key = dedicated.ID()
		case id == "gateway/GenerateDataKey":
			o.key = shared.ID()
		case id == "gateway/GetPublicKey":
			o.key = sharedSigner.ID()
		}
	}
	return operations
}

// nothingSecret are the operations whose requests and answers hold nothing that must stay secret but signatures.
var nothingSecret = []string{"GenerateDataKeyWithoutPlaintext", "AsymmetricSign", "AsymmetricVerify", "Sign", "Verify", "GetPublicKey"}

// fewFaults has one fault for each way in which a call can go.
var fewFaults = []string{
	"throttled", "unavailable", "denied", "redirect", "200 and {}", "numeric code", "reset after", "throttled, once", "reset, once", "foreign, one answer",
}

func TestEveryFaultOnEveryOperationHasItsError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	gc, ic := w.gatewayConfig(), w.instanceConfig()
	gc.Limits = alikms.Limits{Attempts: 2, Call: 10 * time.Second}
	ic.Limits = gc.Limits
	cases := faultCases()
	_, secret := w.cloud.Credentials()
	var others sync.RWMutex
	for _, o := range faultOperations(t, w) {
		t.Run(o.method, func(t *testing.T) {
			t.Parallel()
			if o.alone {
				others.Lock()
				defer others.Unlock()
			} else {
				others.RLock()
				defer others.RUnlock()
			}
			g, i := newGateway(t, gc), newInstance(t, ic)
			if o.before == nil {
				o.before = func() {}
			}
			o.before()
			require.NoError(t, o.do(t.Context(), g, i))
			match := kmstest.Match{Face: o.face, Action: o.action, KeyID: o.key}
			names := fewFaults
			if !o.few {
				names = slices.Sorted(maps.Keys(cases))
			}
			for _, name := range names {
				c := cases[name]
				want, attempts := c.sentinel, c.attempts
				switch {
				case o.looks && errors.Is(want, kmsmigrate.ErrUnavailable) && (c.fault.Body != "" || c.fault.Reset == kmstest.ResetAfter), o.looks && name == "reset, once":
					want, attempts = nil, 1 // it was done all the same, and is seen to have been
				case name == "foreign, one answer" && o.opens:
					want = kmsmigrate.ErrForeign
				case name == "foreign, one answer":
					want = kmsmigrate.ErrNoKey
				case o.once && (name == "reset, once" || name == "unavailable, once"):
					want, attempts = kmsmigrate.ErrUnavailable, 1
				case o.once && !errors.Is(want, kmsmigrate.ErrThrottled) && name != "throttled, once":
					attempts = 1
				}
				fault := c.fault
				fault.Match = match
				o.before()
				before := w.cloud.Count(match)
				remove := w.cloud.Inject(fault)
				err := o.do(t.Context(), g, i)
				remove()
				require.Equal(t, attempts, w.cloud.Count(match)-before, "%s: calls", name)
				if want == nil {
					require.NoError(t, err, name)
					continue
				}
				require.ErrorIs(t, err, want, name)
				var typed *kmsmigrate.Error
				require.ErrorAs(t, err, &typed, name)
				require.Equal(t, o.action, typed.Op)
				// The fault's message quotes the plaintext and the context, which some operations neither send nor get.
				text := fmt.Sprintf("%v %+v", err, err)
				require.NotContains(t, text, secret)
				require.NotContains(t, text, "://")
				if !o.plain {
					requireSilent(t, err, secret, w.clientKey.Password)
				}
			}
		})
	}
}

// quietMethods make no request of their own, or have all faults of all faces in TestEveryFaultOnEveryFaceHasItsError.
var quietMethods = []string{
	"Key.Encrypt", "Key.Decrypt", "Key.Owns",
	"Gateway.Key", "Gateway.ControlPlane", "Gateway.Close", "Instance.Key", "Instance.Close", "Instance.ReplaceClientKey", "Instance.ClientKeyExpires",
}

func TestEveryOperationIsInTheTableOfFaults(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	for _, o := range faultOperations(t, newWorld(t, kmstest.Config{})) {
		have[o.method] = true
	}
	for _, name := range quietMethods {
		require.False(t, have[name], name)
		have[name] = true
	}
	var all []string
	for _, of := range []struct {
		prefix string
		reflect.Type
	}{
		{"Gateway.", reflect.TypeFor[*alikms.Gateway]()}, {"Instance.", reflect.TypeFor[*alikms.Instance]()},
		{"ControlPlane.", reflect.TypeFor[resource.ControlPlane]()}, {"Key.", reflect.TypeFor[*alikms.Key]()},
	} {
		for n := range of.NumMethod() {
			all = append(all, of.prefix+of.Method(n).Name)
		}
	}
	for _, method := range all {
		require.True(t, have[method], "%s has no faults in faultOperations", method)
	}
	for method := range have {
		require.Contains(t, all, method, "there is no such method")
	}
}
