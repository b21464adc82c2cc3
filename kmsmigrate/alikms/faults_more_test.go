package alikms_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

// rareFaultOperations are the rest of the instance's operations, and those of the OpenAPI that export.
func rareFaultOperations(t *testing.T, w *world) []faultOperation {
	t.Helper()
	shared, dedicated := makeKey(t, w.region.CreateKey, kmstest.KeySpec{}), makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
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
		// The wire calls it Encrypt; the key tells the two apart.
		{face: kmstest.Protobuf, action: "Encrypt", key: opener.ID(), do: func(ctx context.Context, _ *alikms.Gateway, i *alikms.Instance) error {
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

// planeFaultOperations are the control plane's.
func planeFaultOperations(t *testing.T, w *world) []faultOperation {
	t.Helper()
	key, doomed := makeKey(t, w.region.CreateKey, kmstest.KeySpec{Alias: "alias/faults"}), makeKey(t, w.region.CreateKey, kmstest.KeySpec{})
	require.NoError(t, key.Rotate())
	signer := makeKey(t, w.region.CreateKey, kmstest.KeySpec{Spec: "EC_P256"})
	_, err := w.region.CreateSecret(kmstest.SecretSpec{Name: "listed", Value: plantedText})
	require.NoError(t, err)
	var names atomic.Int64
	fresh := func(prefix string) string { return fmt.Sprintf("%s%d", prefix, names.Add(1)) }
	value := resource.SecretValue{VersionID: "v1", Data: []byte(plantedText)}

	var operations []faultOperation
	on := func(action string, do func(context.Context, resource.ControlPlane) error) *faultOperation {
		operations = append(operations, faultOperation{face: kmstest.Gateway, action: action, plain: true, few: true, do: func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
			return do(ctx, g.ControlPlane())
		}})
		return &operations[len(operations)-1]
	}
	on("ListKeyVersions", func(ctx context.Context, p resource.ControlPlane) error { return first(p.Versions(ctx, key.ID())) })
	on("ListAliases", func(ctx context.Context, p resource.ControlPlane) error { return first(p.Aliases(ctx)) })
	on("ListAliasesByKeyId", func(ctx context.Context, p resource.ControlPlane) error { return first(p.AliasesOf(ctx, key.ID())) })
	on("ListSecrets", func(ctx context.Context, p resource.ControlPlane) error { return first(p.Secrets(ctx)) })
	on("ListSecretVersionIds", func(ctx context.Context, p resource.ControlPlane) error {
		return first(p.SecretVersions(ctx, "listed"))
	})
	on("DescribeSecret", func(ctx context.Context, p resource.ControlPlane) error {
		_, err := p.DescribeSecret(ctx, "listed")
		return err
	})
	on("ListKmsInstances", func(ctx context.Context, p resource.ControlPlane) error { return first(p.Instances(ctx)) })
	on("GetKmsInstance", func(ctx context.Context, p resource.ControlPlane) error {
		_, err := p.DescribeInstance(ctx, w.instance.ID)
		return err
	})
	on("GetPublicKey", func(ctx context.Context, p resource.ControlPlane) error {
		_, err := p.PublicKey(ctx, signer.ID(), signer.VersionID())
		return err
	}).key = signer.ID()
	on("DisableKey", func(ctx context.Context, p resource.ControlPlane) error { return p.DisableKey(ctx, doomed.ID()) })
	on("UpdateRotationPolicy", func(ctx context.Context, p resource.ControlPlane) error { return p.RotateEvery(ctx, key.ID(), 0) })
	on("TagResource", func(ctx context.Context, p resource.ControlPlane) error {
		return p.TagKey(ctx, key.ID(), map[string]string{"team": "a"})
	})
	on("SetDeletionProtection", func(ctx context.Context, p resource.ControlPlane) error {
		return p.ProtectKey(ctx, key.ARN(), true, "in use")
	})
	on("UpdateAlias", func(ctx context.Context, p resource.ControlPlane) error {
		return p.UpdateAlias(ctx, "alias/faults", key.ID())
	})
	on("CreateAlias", func(ctx context.Context, p resource.ControlPlane) error {
		return p.CreateAlias(ctx, fresh("alias/made-"), key.ID())
	}).once = true
	secret := on("CreateSecret", func(ctx context.Context, p resource.ControlPlane) error {
		return p.CreateSecret(ctx, resource.SecretSpec{Name: fresh("made-"), Value: value})
	})
	secret.once, secret.plain = true, false
	return operations
}
