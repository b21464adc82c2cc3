package alikms_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"testing"

	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// rareFaultOperations are the rest of the instance's operations, and those of the OpenAPI that export.
func rareFaultOperations(t *testing.T, w *world) []faultOperation {
	t.Helper()
	shared, dedicated := makeKey(t, w.region.CreateKey, kmstest.KeySpec{}), makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	wrapping, raw := makeKey(t, w.region.CreateKey, kmstest.KeySpec{}), makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	opener := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{Spec: "RSA_2048", Usage: "ENCRYPT/DECRYPT"})
	_, err := w.instance.CreateSecret(kmstest.SecretSpec{Name: "dedicated", Value: plantedText, Key: dedicated})
	require.NoError(t, err)
	w.instance.SetInternetAccess(true)
	b, text := alikms.Binding{Context: plantedContext()}, []byte(plantedText)
	to, _ := rsaWrapping(t)
	made, err := newGateway(t, w.gatewayConfig()).GenerateAndExportDataKey(t.Context(), shared.ID(), 32, b, to)
	require.NoError(t, err)

	at := func(face kmstest.Face, action string, do func(context.Context, *alikms.Gateway, *alikms.Instance) error) faultOperation {
		return faultOperation{face: face, action: action, do: do}
	}
	return []faultOperation{
		at(kmstest.Gateway, "ExportDataKey", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.ExportDataKey(ctx, made.Ciphertext, b, to)
			return err
		}),
		at(kmstest.Gateway, "GenerateAndExportDataKey", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.GenerateAndExportDataKey(ctx, shared.ID(), 32, b, to)
			return err
		}),
		at(kmstest.Gateway, "AdvanceEncrypt", func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.AdvanceEncrypt(ctx, dedicated.ID(), text, b)
			return err
		}),
		at(kmstest.Protobuf, "GetSecretValue", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, err := i.GetSecretValue(ctx, "dedicated", "", "")
			return err
		}),
		at(kmstest.Protobuf, "GenerateDataKeyPair", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, _, err := i.GenerateDataKeyPair(ctx, dedicated.ID(), "EC_P256", "PEM", b)
			return err
		}),
		at(kmstest.Protobuf, "GenerateDataKeyPairWithoutPlaintext", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, _, err := i.GenerateDataKeyPairWithoutPlaintext(ctx, dedicated.ID(), "EC_P256", "PEM", b)
			return err
		}),
		at(kmstest.Protobuf, "AdvanceGenerateDataKeyPair", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, err := i.AdvanceGenerateDataKeyPair(ctx, dedicated.ID(), "EC_P256", "PEM", b)
			return err
		}),
		at(kmstest.Protobuf, "AdvanceGenerateDataKeyPairWithoutPlaintext", func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, err := i.AdvanceGenerateDataKeyPairWithoutPlaintext(ctx, dedicated.ID(), "EC_P256", "PEM", b)
			return err
		}),
		{face: kmstest.Gateway, action: "GenerateDataKey", method: "Key.GenerateDataKey", key: wrapping.ID(), do: func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, _, err := dataKeyMaker(t, g, wrapping.ID()).GenerateDataKey(ctx, 32, plantedContext())
			return err
		}},
		{face: kmstest.Gateway, action: "ListKeyVersions", method: "Key.Refresh", key: wrapping.ID(), plain: true, few: true, do: func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			return dataKeyMaker(t, g, wrapping.ID()).Refresh(ctx)
		}},
		{face: kmstest.Gateway, action: "UpdateKeyDescription", method: "Gateway.Raw", do: func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			_, err := g.Raw(ctx, alikms.RawCall{
				Action: "UpdateKeyDescription", Parameters: map[string]string{"KeyId": wrapping.ID(), "Description": plantedText}, Secret: []string{plantedText, plantedValue},
				Check: func(body []byte) string {
					if !json.Valid(body) || !bytes.Contains(body, []byte("RequestId")) {
						return "it has no RequestId"
					}
					return ""
				},
			})
			return err
		}},
		{face: kmstest.Protobuf, action: "AdvanceEncrypt", method: "Instance.Raw", key: raw.ID(), do: func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, err := i.Raw(ctx, alikms.InstanceCall{
				Action: "AdvanceEncrypt", Request: &api.AdvanceEncryptRequest{KeyId: raw.ID(), Plaintext: text, Aad: []byte(plantedValue)}, Answer: new(api.AdvanceEncryptResponse),
			})
			return err
		}},
		// The wire calls it Encrypt; the key tells the two apart.
		{face: kmstest.Protobuf, action: "Encrypt", method: "Instance.AsymmetricEncrypt", key: opener.ID(), do: func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
			_, err := i.AsymmetricEncrypt(ctx, opener.ID(), alikms.RSAOAEPSHA256, text)
			return err
		}},
	}
}

// first is the error that a list begins with, or one of its own where it has nothing.
func first[T any](list iter.Seq2[T, error]) error {
	for _, err := range list {
		return err
	}
	return errors.New("nothing was listed")
}
