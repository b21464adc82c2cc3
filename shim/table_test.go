package shim_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

const (
	toOld   = "old"
	toNew   = "new"
	byPhase = "writes" // of an instance's table
)

// rule says who is called for an operation in a phase, in order, independently of the code. None: it is refused here.
type rule func(phase kmsmigrate.Phase) []string

func always(sides ...string) rule {
	return func(kmsmigrate.Phase) []string { return sides }
}

// written is the side that the phase writes.
func written(phase kmsmigrate.Phase) []string {
	if phase >= kmsmigrate.WriteNew {
		return []string{toNew}
	}
	return []string{toOld}
}

// untilRetired is the old side, which the last phase does not ask any more.
func untilRetired(phase kmsmigrate.Phase) []string {
	if phase == kmsmigrate.NewOnly {
		return nil
	}
	return []string{toOld}
}

// onceBegun is the new side, which the first phase does not ask yet.
func onceBegun(phase kmsmigrate.Phase) []string {
	if phase == kmsmigrate.OldOnly {
		return []string{toOld}
	}
	return []string{toNew}
}

// untilTheEnd is the old side but for the last phase.
func untilTheEnd(phase kmsmigrate.Phase) []string {
	if phase == kmsmigrate.NewOnly {
		return []string{toNew}
	}
	return []string{toOld}
}

// tried is asymmetric ciphertext of the new key under the old one's name: it names no key, so the old side is tried first.
func tried(phase kmsmigrate.Phase) []string {
	switch phase {
	case kmsmigrate.OldOnly:
		return []string{toOld}
	case kmsmigrate.NewOnly:
		return []string{toNew}
	default:
		return []string{toOld, toNew}
	}
}

// verified is a signature of the new key under the old one's name: once signing has moved, the new key is tried, too.
func verified(phase kmsmigrate.Phase) []string {
	switch {
	case phase < kmsmigrate.WriteNew:
		return []string{toOld}
	case phase == kmsmigrate.NewOnly:
		return []string{toNew}
	default:
		return []string{toOld, toNew}
	}
}

// reEncrypted moves ciphertext of the old key to the key that is written: the service does it within a side, the shim between two.
func reEncrypted(phase kmsmigrate.Phase) []string {
	switch {
	case phase == kmsmigrate.NewOnly:
		return nil
	case phase < kmsmigrate.WriteNew:
		return []string{toOld}
	default:
		return []string{toOld + " Decrypt", toNew + " Encrypt"}
	}
}

// backEncrypted is ReEncrypt of ciphertext of the new key.
func backEncrypted(phase kmsmigrate.Phase) []string {
	switch phase {
	case kmsmigrate.OldOnly:
		return []string{toOld}
	case kmsmigrate.ReadBoth:
		return []string{toNew + " Decrypt", toOld + " Encrypt"}
	default:
		return []string{toNew}
	}
}

// operation is one row: an action with parameters, and who is called with which key.
type operation struct {
	action, variant string
	fields          map[string]string
	rule            rule
	oldKey, newKey  string            // that did the work on either side; empty: not looked at
	onNew           map[string]string // what the official client of the new side is asked instead; nil: the same
}

// calls are the row's, as side and action.
func (o operation) calls(phase kmsmigrate.Phase) []string {
	var all []string
	for _, call := range o.rule(phase) {
		if !strings.Contains(call, " ") {
			call += " " + o.action
		}
		all = append(all, call)
	}
	return all
}

// material is what the rows need: keys of each kind on both sides, and what they made.
type material struct {
	w               *world
	signer, wrapper signer
	ofOld, ofNew    string            // CiphertextBlobs
	wrapping        map[string]string // a public key that data keys are exported to
}

func newMaterial(t *testing.T, w *world) material {
	t.Helper()
	m := material{w: w, signer: newSigner(t, w, "EC_P256", "ECDSA_SHA_256"), wrapper: newPair(t, w, kmstest.KeySpec{Spec: "RSA_2048", Usage: "ENCRYPT/DECRYPT"}, "RSAES_OAEP_SHA_256")}
	w.config.Published = publish(t, w.newAt, m.signer.new, m.signer.new.ID())
	for _, region := range []*kmstest.Region{w.oldAt, w.newAt} {
		_, err := region.CreateSecret(kmstest.SecretSpec{Name: "db", Value: "s3<cr>&et", Tags: map[string]string{"a": "1"}})
		require.NoError(t, err)
	}
	m.ofOld = m.made(t, w.oldAt, "Encrypt", map[string]string{"KeyId": w.old.ID(), "Plaintext": "cGxhaW4="}, "CiphertextBlob")
	m.ofNew = m.made(t, w.newAt, "Encrypt", map[string]string{"KeyId": w.new.ID(), "Plaintext": "cGxhaW4="}, "CiphertextBlob")
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	public, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	require.NoError(t, err)
	m.wrapping = map[string]string{"PublicKeyBlob": base64.StdEncoding.EncodeToString(public), "WrappingKeySpec": "RSA_2048", "WrappingAlgorithm": "RSAES_OAEP_SHA_256"}
	return m
}

// made has the official client of a side make something.
func (m material) made(t *testing.T, at *kmstest.Region, action string, fields map[string]string, field string) string {
	t.Helper()
	got, err := plain(t, sdkClient(t, at), action, "JSON", fields)
	require.NoError(t, err, action)
	return text(t, got, field)
}

// operations are all rows.
func operations(t *testing.T, m material) []operation {
	t.Helper()
	w := m.w
	keyed := func(id string, pairs ...string) map[string]string {
		return plus(map[string]string{"KeyId": id}, pairs...)
	}
	secret := func(pairs ...string) map[string]string {
		return plus(map[string]string{"SecretName": "db"}, pairs...)
	}
	rows := []operation{
		{"Decrypt", "old", map[string]string{"CiphertextBlob": m.ofOld}, untilRetired, w.old.ID(), "", nil},
		{"Decrypt", "new", map[string]string{"CiphertextBlob": m.ofNew}, onceBegun, "", w.new.ID(), nil},
		{"ExportDataKey", "old", plus(m.wrapping, "CiphertextBlob", m.dataKey(t, w.oldAt, w.old)), untilRetired, w.old.ID(), "", nil},
		{"ExportDataKey", "new", plus(m.wrapping, "CiphertextBlob", m.dataKey(t, w.newAt, w.new)), onceBegun, "", w.new.ID(), nil},
		{"ReEncrypt", "old", map[string]string{"CiphertextBlob": m.ofOld, "DestinationKeyId": "alias/app"}, reEncrypted, "", "", nil},
		{"ReEncrypt", "new", map[string]string{"CiphertextBlob": m.ofNew, "DestinationKeyId": "alias/app"}, backEncrypted, "", "", map[string]string{"CiphertextBlob": m.ofNew, "DestinationKeyId": w.new.ID()}},
		{"GetSecretValue", "", secret(), untilTheEnd, "", "", nil},
		{"DescribeSecret", "", secret(), untilTheEnd, "", "", nil},
		{"PutSecretValue", "", secret("VersionId", "v1", "SecretData", "s3<cr>&et"), untilTheEnd, "", "", nil},
		{"ListSecretVersionIds", "", secret(), untilTheEnd, "", "", nil},
		{"DescribeKey", "old", keyed(w.old.ID()), always(toOld), w.old.ID(), "", nil},
		{"DescribeKey", "old alias", keyed("alias/app"), always(toOld), w.old.ID(), "", nil},
		{"DescribeKey", "old ARN", keyed(w.old.ARN()), always(toOld), w.old.ID(), "", nil},
		{"DescribeKey", "new", keyed(w.new.ID()), always(toNew), "", w.new.ID(), nil},
		{"DescribeKey", "new ARN", keyed(w.new.ARN()), always(toNew), "", w.new.ID(), nil},
		{"UpdateKeyDescription", "new", keyed(w.new.ID(), "Description", "d"), always(toNew), "", w.new.ID(), nil},
		{"EnableKey", "old", keyed(w.old.ID()), always(toOld), w.old.ID(), "", nil},
		{"SetDeletionProtection", "new", map[string]string{"ProtectedResourceArn": w.new.ARN(), "EnableDeletionProtection": "false"}, always(toNew), "", "", nil},
		{"UpdateAlias", "old", map[string]string{"AliasName": "alias/app", "KeyId": w.old.ID()}, always(toOld), "", "", nil},
		{"ListAliasesByKeyId", "new", keyed(w.new.ID()), always(toNew), "", "", nil},
	}
	rows = append(rows, m.asymmetric(t)...)
	for _, action := range []string{"Encrypt", "GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "GenerateAndExportDataKey"} {
		fields := map[string]string{}
		switch action {
		case "Encrypt":
			fields["Plaintext"] = "cGxhaW4="
		case "GenerateAndExportDataKey":
			fields = m.wrapping
		}
		onNew := plus(fields, "KeyId", w.new.ID())
		for _, name := range []string{w.old.ID(), w.old.ARN(), "alias/app"} {
			rows = append(rows, operation{action, name, plus(fields, "KeyId", name), written, w.old.ID(), w.new.ID(), onNew})
		}
		rows = append(rows, operation{action, "a new key", onNew, always(toNew), "", w.new.ID(), nil})
	}
	done := map[string]bool{}
	for _, row := range rows {
		done[row.action] = true
	}
	for _, action := range actions() {
		if !done[action] {
			by := always(toOld)
			if action == "AdvanceEncrypt" {
				by = written
			}
			rows = append(rows, operation{action: action, variant: "names nothing", rule: by})
		}
	}
	return rows
}

func (m material) dataKey(t *testing.T, at *kmstest.Region, key *kmstest.Key) string {
	t.Helper()
	return m.made(t, at, "GenerateDataKey", map[string]string{"KeyId": key.ID()}, "CiphertextBlob")
}

// asymmetric are the rows of key pairs, which applications name by the old key, and by the new one.
func (m material) asymmetric(t *testing.T) []operation {
	t.Helper()
	s, e, w := m.signer, m.wrapper, m.w
	sum := sha256.Sum256([]byte("message"))
	digest := base64.StdEncoding.EncodeToString(sum[:])
	oldSigned := plus(s.oldFields, "Digest", digest, "Value", m.made(t, w.oldAt, "AsymmetricSign", plus(s.oldFields, "Digest", digest), "Value"))
	newValue := m.made(t, w.newAt, "AsymmetricSign", plus(s.newFields, "Digest", digest), "Value")
	newSigned := plus(s.newFields, "Digest", digest, "Value", newValue)
	oldWrapped := m.made(t, w.oldAt, "AsymmetricEncrypt", plus(e.oldFields, "Plaintext", "aGVsbG8="), "CiphertextBlob")
	newWrapped := m.made(t, w.newAt, "AsymmetricEncrypt", plus(e.newFields, "Plaintext", "aGVsbG8="), "CiphertextBlob")
	oldID, newID := s.old.ID(), s.new.ID()
	return []operation{
		{"AsymmetricSign", "old", plus(s.oldFields, "Digest", digest), written, oldID, newID, plus(s.newFields, "Digest", digest)},
		{"AsymmetricSign", "new", plus(s.newFields, "Digest", digest), always(toNew), "", newID, nil},
		{"AsymmetricVerify", "old", oldSigned, untilTheEnd, oldID, "", nil},
		{"AsymmetricVerify", "new", newSigned, always(toNew), "", newID, nil},
		{"AsymmetricVerify", "of the new key, under the old name", plus(oldSigned, "Value", newValue), verified, "", "", newSigned},
		{"GetPublicKey", "old", s.oldFields, untilRetired, oldID, "", nil},
		{"GetPublicKey", "new", s.newFields, always(toNew), "", newID, nil},
		{"AsymmetricEncrypt", "old", plus(e.oldFields, "Plaintext", "aGVsbG8="), written, e.old.ID(), e.new.ID(), plus(e.newFields, "Plaintext", "aGVsbG8=")},
		{"AsymmetricEncrypt", "new", plus(e.newFields, "Plaintext", "aGVsbG8="), always(toNew), "", e.new.ID(), nil},
		{"AsymmetricDecrypt", "old", plus(e.oldFields, "CiphertextBlob", oldWrapped), untilTheEnd, e.old.ID(), "", plus(e.newFields, "CiphertextBlob", oldWrapped)},
		{"AsymmetricDecrypt", "new", plus(e.newFields, "CiphertextBlob", newWrapped), always(toNew), "", e.new.ID(), nil},
		{"AsymmetricDecrypt", "of the new key, under the old name", plus(e.oldFields, "CiphertextBlob", newWrapped), tried, "", "", plus(e.newFields, "CiphertextBlob", newWrapped)},
	}
}
