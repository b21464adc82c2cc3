package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

// recipe is a key to make: a cell of the tables, or a note.
type recipe struct {
	name       string
	spec       string
	usage      string
	protection string
	byok       bool
	multi      bool
	rotates    bool
	state      resource.KeyState
	instance   plan.Kind
	product    string // of a service key
	note       plan.KeyNote
}

// cases are the rows of both tables and the notes around them. Each region gets all of them; what becomes of them depends on where it goes.
func cases() []recipe {
	sw, hsm := resource.ProtectionSoftware, resource.ProtectionHSM
	return []recipe{
		{name: "table", protection: sw, spec: "Aliyun_AES_256"},
		{name: "table", protection: sw, spec: "Aliyun_AES_256", multi: true},
		{name: "table", protection: sw, spec: "RSA_2048"},
		{name: "table", protection: sw, spec: "EC_P256"},
		{name: "table", protection: sw, spec: "EC_P256K"},
		{name: "table", protection: hsm, spec: "Aliyun_AES_256"},
		{name: "table", protection: hsm, spec: "Aliyun_AES_256", multi: true},
		{name: "table", protection: hsm, spec: "Aliyun_SM4"},
		{name: "table", protection: hsm, spec: "Aliyun_SM4", multi: true},
		{name: "table", protection: hsm, spec: "RSA_2048"},
		{name: "table", protection: hsm, spec: "EC_P256"},
		{name: "table", protection: hsm, spec: "EC_P256K"},
		{name: "table", protection: hsm, spec: "RSA_3072"},
		{name: "table", protection: hsm, spec: "EC_SM2"},
		{name: "not in the tables", protection: sw, spec: "RSA_2048", multi: true},
		{name: "not in the tables", protection: sw, spec: "Aliyun_SM4"},
		{name: "BYOK software", protection: sw, byok: true},
		{name: "BYOK HSM", protection: hsm, byok: true},
		{name: "signs", spec: "RSA_2048", usage: resource.UsageSign},
		{name: "rotates", rotates: true},
		{name: "disabled", state: resource.Disabled},
		{name: "pending deletion", state: resource.PendingDeletion},
		{name: "pending import", state: resource.PendingImport},
		{name: "service key", product: "oss"},
		{name: "in a software instance", instance: plan.Software},
		{name: "in a software instance, rotates", instance: plan.Software, rotates: true},
		{name: "in a hardware instance", instance: plan.Hardware},
		{name: "in a hardware instance, signs", instance: plan.Hardware, spec: "EC_P256"},
		{name: "must be in the HSM", protection: hsm, note: plan.KeyNote{NeedsHSM: true}},
		{name: "compromised", note: plan.KeyNote{Compromised: true}},
		{name: "downgrade approved", protection: hsm, note: plan.KeyNote{DowngradeApproved: "SEC-1"}},
		{name: "a product uses it", note: plan.KeyNote{UsesStated: true, Uses: []plan.Use{{By: "bucket invoices", Product: "OSS", Seen: "actiontrail"}}}},
		{name: "declared unused", note: plan.KeyNote{Unused: true}},
	}
}

func (r *region) key(c recipe, goal *plan.Goal) error {
	r.keys++
	if c.product != "" {
		_, err := r.region.CreateServiceKey(c.product)
		return err
	}
	spec := resource.KeySpec{Spec: c.spec, Usage: c.usage, Protection: c.protection, Description: c.name, Tags: map[string]string{"case": strings.ReplaceAll(c.name, " ", "-")}}
	if c.byok || c.state == resource.PendingImport {
		spec.Origin = resource.OriginExternal
	}
	switch c.instance {
	case plan.Software:
		spec.Instance = r.software.ID
	case plan.Hardware:
		spec.Instance = r.hardware.ID
	}
	made, err := r.control.CreateKey(r.ctx, spec)
	if err != nil {
		return err
	}
	handle, err := r.region.Key(made.ID)
	if err != nil {
		return err
	}
	if c.note.Compromised || c.note.Unused || c.note.NeedsHSM || c.note.UsesStated || c.note.DowngradeApproved != "" {
		goal.Keys[made.ID] = c.note
	}
	if c.name == "plain" && r.default1 == "" {
		r.default1 = made.ID
	}
	var errs []error
	if c.byok {
		errs = append(errs, r.importMaterial(made.ID))
	}
	if c.multi {
		errs = append(errs, handle.Rotate())
	}
	if c.rotates {
		errs = append(errs, r.control.RotateEvery(r.ctx, made.ID, 90*24*time.Hour))
	}
	switch c.state {
	case resource.Disabled:
		errs = append(errs, r.control.DisableKey(r.ctx, made.ID))
	case resource.PendingDeletion:
		errs = append(errs, r.control.ScheduleKeyDeletion(r.ctx, made.ID, 30))
	}
	return errors.Join(errs...)
}

// importMaterial brings material along, as an owner would with the official SDK.
func (r *region) importMaterial(id string) error {
	client, err := r.region.SDKClient()
	if err != nil {
		return err
	}
	ask := kms.CreateGetParametersForImportRequest()
	ask.KeyId, ask.WrappingAlgorithm, ask.WrappingKeySpec = id, "RSAES_OAEP_SHA_256", "RSA_2048"
	params, err := client.GetParametersForImport(ask)
	if err != nil {
		return err
	}
	der, err := base64.StdEncoding.DecodeString(params.PublicKey)
	if err != nil {
		return err
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return err
	}
	material := make([]byte, 32)
	_, _ = rand.Read(material) // never fails
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, public.(*rsa.PublicKey), material, nil)
	if err != nil {
		return err
	}
	bring := kms.CreateImportKeyMaterialRequest()
	bring.KeyId, bring.ImportToken, bring.EncryptedKeyMaterial = id, params.ImportToken, base64.StdEncoding.EncodeToString(wrapped)
	bring.KeyMaterialExpireUnix = "0"
	_, err = client.ImportKeyMaterial(bring)
	return err
}

// fillSecrets makes secrets of all types, under the service's key, under a default key and in an instance; and one name that clashes in the target.
func (r *region) fillSecrets() error {
	inInstance, err := r.software.CreateKey(kmstest.KeySpec{Description: "of secrets"})
	if err != nil {
		return err
	}
	outside, err := r.region.Key(r.default1)
	if err != nil {
		return err
	}
	client, err := r.region.SDKClient()
	if err != nil {
		return err
	}
	for r.secrets < secretsEach {
		n := r.secrets
		r.secrets++
		name := fmt.Sprintf("%s-%02d", r.region.ID, n)
		switch {
		case n == 0:
			_, err = r.software.CreateSecret(kmstest.SecretSpec{Name: "shared-name", Value: "made up", Key: inInstance})
		case n < 5:
			_, err = r.software.CreateSecret(kmstest.SecretSpec{Name: name, Value: "made up", Key: inInstance})
		case n < 10:
			_, err = r.region.CreateSecret(kmstest.SecretSpec{Name: name, Value: "made up", Key: outside})
		case n < 13:
			ask := kms.CreateCreateSecretRequest()
			ask.SecretName, ask.VersionId, ask.SecretData, ask.SecretType = name, "v1", "made up", []string{"Rds", "RAMCredentials", "ECS"}[n-10]
			_, err = client.CreateSecret(ask)
		default:
			_, err = r.region.CreateSecret(kmstest.SecretSpec{Name: name, Value: "made up"})
		}
		if err != nil {
			return fmt.Errorf("secret %s: %w", name, err)
		}
	}
	return nil
}
