package alikms_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/kmsmigrate/resource"
)

// planeFaultOperations are the control plane's.
func planeFaultOperations(t *testing.T, w *world) []faultOperation {
	t.Helper()
	key := makeKey(t, w.region.CreateKey, kmstest.KeySpec{Alias: "alias/faults"})
	require.NoError(t, key.Rotate())
	signer := makeKey(t, w.region.CreateKey, kmstest.KeySpec{Spec: "EC_P256"})
	_, err := w.region.CreateSecret(kmstest.SecretSpec{Name: "listed", Value: plantedText})
	require.NoError(t, err)
	setup := newGateway(t, w.gatewayConfig()).ControlPlane()
	value := resource.SecretValue{VersionID: "v1", Data: []byte(plantedText)}
	require.NoError(t, setup.CreateSecret(t.Context(), resource.SecretSpec{Name: "put", Value: value}))

	var operations []faultOperation
	on := func(action, method string, do func(context.Context, resource.ControlPlane) error) *faultOperation {
		operations = append(operations, faultOperation{
			face: kmstest.Gateway, action: action, method: "ControlPlane." + method, plain: true, few: true,
			do: func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
				return do(ctx, g.ControlPlane())
			},
		})
		return &operations[len(operations)-1]
	}
	on("ListKeys", "Keys", func(ctx context.Context, p resource.ControlPlane) error {
		return first(p.Keys(ctx, resource.KeyFilter{}))
	}).few = false
	on("DescribeKey", "DescribeKey", func(ctx context.Context, p resource.ControlPlane) error {
		_, err := p.DescribeKey(ctx, key.ID())
		return err
	}).key = key.ID()
	on("ListKeyVersions", "Versions", func(ctx context.Context, p resource.ControlPlane) error {
		return first(p.Versions(ctx, key.ID()))
	}).key = key.ID()
	on("ListAliases", "Aliases", func(ctx context.Context, p resource.ControlPlane) error { return first(p.Aliases(ctx)) })
	on("ListAliasesByKeyId", "AliasesOf", func(ctx context.Context, p resource.ControlPlane) error {
		return first(p.AliasesOf(ctx, key.ID()))
	})
	on("ListResourceTags", "KeyTags", func(ctx context.Context, p resource.ControlPlane) error {
		_, err := p.KeyTags(ctx, key.ID())
		return err
	})
	on("ListSecrets", "Secrets", func(ctx context.Context, p resource.ControlPlane) error { return first(p.Secrets(ctx)) })
	on("ListSecretVersionIds", "SecretVersions", func(ctx context.Context, p resource.ControlPlane) error {
		return first(p.SecretVersions(ctx, "listed"))
	}).alone = true
	on("DescribeSecret", "DescribeSecret", func(ctx context.Context, p resource.ControlPlane) error {
		_, err := p.DescribeSecret(ctx, "listed")
		return err
	})
	read := on("GetSecretValue", "SecretValue", func(ctx context.Context, p resource.ControlPlane) error {
		_, err := p.SecretValue(ctx, "listed", "")
		return err
	})
	read.plain, read.alone = false, true
	on("ListKmsInstances", "Instances", func(ctx context.Context, p resource.ControlPlane) error { return first(p.Instances(ctx)) })
	on("GetKmsInstance", "DescribeInstance", func(ctx context.Context, p resource.ControlPlane) error {
		_, err := p.DescribeInstance(ctx, w.instance.ID)
		return err
	})
	on("GetPublicKey", "PublicKey", func(ctx context.Context, p resource.ControlPlane) error {
		_, err := p.PublicKey(ctx, signer.ID(), signer.VersionID())
		return err
	}).key = signer.ID()

	create := on("CreateKey", "CreateKey", func(ctx context.Context, p resource.ControlPlane) error {
		_, err := p.CreateKey(ctx, resource.KeySpec{})
		return err
	})
	create.once, create.few = true, false
	on("UpdateRotationPolicy", "RotateEvery", func(ctx context.Context, p resource.ControlPlane) error {
		return p.RotateEvery(ctx, key.ID(), 0)
	})
	on("TagResource", "TagKey", func(ctx context.Context, p resource.ControlPlane) error {
		return p.TagKey(ctx, key.ID(), map[string]string{"team": "a"})
	})
	on("SetDeletionProtection", "ProtectKey", func(ctx context.Context, p resource.ControlPlane) error {
		return p.ProtectKey(ctx, key.ARN(), true, "in use")
	})
	put := on("PutSecretValue", "PutSecretValue", func(ctx context.Context, p resource.ControlPlane) error {
		return p.PutSecretValue(ctx, "put", value)
	})
	put.plain, put.few, put.alone = false, false, true
	return append(operations, changingFaultOperations(t, w, setup)...)
}

// changingFaultOperations are the changes that a repetition may find made already. Each has a key or a secret of its own.
func changingFaultOperations(t *testing.T, w *world, setup resource.ControlPlane) []faultOperation {
	t.Helper()
	var operations []faultOperation
	on := func(action, method string, before func(), do func(context.Context, resource.ControlPlane) error) *faultOperation {
		operations = append(operations, faultOperation{
			face: kmstest.Gateway, action: action, method: "ControlPlane." + method, plain: true, looks: true, before: before,
			do: func(ctx context.Context, g *alikms.Gateway, _ *alikms.Instance) error {
				return do(ctx, g.ControlPlane())
			},
		})
		return &operations[len(operations)-1]
	}
	id := func() string { return makeKey(t, w.region.CreateKey, kmstest.KeySpec{}).ID() }
	var names atomic.Int64
	fresh := func(prefix string) string { return fmt.Sprintf("%s%d", prefix, names.Add(1)) }
	// The faults are matched by action, so the way back must be another.
	must := func(err error) { require.NoError(t, err) }

	enabled, disabled, doomed, spared := id(), id(), id(), id()
	on("EnableKey", "EnableKey", func() { must(setup.DisableKey(context.Background(), enabled)) }, func(ctx context.Context, p resource.ControlPlane) error {
		return p.EnableKey(ctx, enabled)
	}).key = enabled
	on("DisableKey", "DisableKey", func() { must(setup.EnableKey(context.Background(), disabled)) }, func(ctx context.Context, p resource.ControlPlane) error {
		return p.DisableKey(ctx, disabled)
	}).key = disabled
	on("ScheduleKeyDeletion", "ScheduleKeyDeletion", func() {
		if k, err := setup.DescribeKey(context.Background(), doomed); err == nil && k.State == resource.PendingDeletion {
			must(setup.CancelKeyDeletion(context.Background(), doomed))
		}
	}, func(ctx context.Context, p resource.ControlPlane) error { return p.ScheduleKeyDeletion(ctx, doomed, 7) }).key = doomed
	on("CancelKeyDeletion", "CancelKeyDeletion", func() {
		if k, err := setup.DescribeKey(context.Background(), spared); err == nil && k.State != resource.PendingDeletion {
			must(setup.ScheduleKeyDeletion(context.Background(), spared, 7))
		}
	}, func(ctx context.Context, p resource.ControlPlane) error { return p.CancelKeyDeletion(ctx, spared) }).key = spared

	var made, moved, gone string
	named, target, other := id(), id(), id()
	on("CreateAlias", "CreateAlias", func() { made = fresh("alias/made-") }, func(ctx context.Context, p resource.ControlPlane) error {
		return p.CreateAlias(ctx, made, named)
	}).key = named
	on("UpdateAlias", "UpdateAlias", func() {
		moved = fresh("alias/moved-")
		must(setup.CreateAlias(context.Background(), moved, other))
	}, func(ctx context.Context, p resource.ControlPlane) error { return p.UpdateAlias(ctx, moved, target) })
	on("DeleteAlias", "DeleteAlias", func() {
		gone = fresh("alias/gone-")
		must(setup.CreateAlias(context.Background(), gone, other))
	}, func(ctx context.Context, p resource.ControlPlane) error { return p.DeleteAlias(ctx, gone) })

	value := func(version string) resource.SecretValue {
		return resource.SecretValue{VersionID: version, Data: []byte(plantedText)}
	}
	var secret, staged string
	on("CreateSecret", "CreateSecret", func() { secret = fresh("made-") }, func(ctx context.Context, p resource.ControlPlane) error {
		return p.CreateSecret(ctx, resource.SecretSpec{Name: secret, Value: value("v1")})
	}).plain = false
	on("UpdateSecretVersionStage", "MoveSecretStage", func() {
		staged = fresh("staged-")
		_, err := w.region.CreateSecret(kmstest.SecretSpec{Name: staged, Value: plantedText})
		must(err)
		must(setup.PutSecretValue(context.Background(), staged, value("v2")))
	}, func(ctx context.Context, p resource.ControlPlane) error {
		var was string
		for version, err := range setup.SecretVersions(ctx, staged) {
			if err != nil {
				return err
			}
			if version.ID != "v2" {
				was = version.ID
			}
		}
		return p.MoveSecretStage(ctx, staged, "ACSCurrent", "v2", was)
	})
	return operations
}

// What a call did whose answer was lost stays done, and the caller is told so.
func TestAChangeWhoseAnswerIsLostIsNotAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	p := newGateway(t, w.gatewayConfig()).ControlPlane()
	key := makeKey(t, w.region.CreateKey, kmstest.KeySpec{}).ID()
	lost := func(action string) (remove func()) {
		return w.cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: action}, Reset: kmstest.ResetAfter, Times: 1})
	}
	state := func(is resource.KeyState) {
		t.Helper()
		k, err := p.DescribeKey(t.Context(), key)
		require.NoError(t, err)
		require.Equal(t, is, k.State)
	}
	lost("ScheduleKeyDeletion")
	require.NoError(t, p.ScheduleKeyDeletion(t.Context(), key, 30))
	state(resource.PendingDeletion)
	lost("CancelKeyDeletion")
	require.NoError(t, p.CancelKeyDeletion(t.Context(), key))
	state(resource.Enabled)
	for _, action := range []string{"ScheduleKeyDeletion", "CancelKeyDeletion"} {
		require.Equal(t, 1, w.cloud.Count(kmstest.Match{Action: action}), "it is not made twice")
	}

	// Where nothing was lost, a refusal is one: nobody looks.
	before := w.cloud.Count(kmstest.Match{Action: "DescribeKey"})
	require.Error(t, p.CancelKeyDeletion(t.Context(), key))
	require.Equal(t, before, w.cloud.Count(kmstest.Match{Action: "DescribeKey"}))

	// Where looking is not permitted, what is known is the first error.
	defer w.cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "DescribeKey"}, Status: 403, Code: "Forbidden.NoPermission"})()
	lost("ScheduleKeyDeletion")
	err := p.ScheduleKeyDeletion(t.Context(), key, 30)
	require.ErrorContains(t, err, "ScheduleKeyDeletion")
	require.ErrorContains(t, err, "before the answer")
}

func TestADeletionThatComesSoonerThanAskedIsNotTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	p := newGateway(t, w.gatewayConfig()).ControlPlane()
	other := newGateway(t, w.gatewayConfig()).ControlPlane()
	key := makeKey(t, w.region.CreateKey, kmstest.KeySpec{}).ID()
	w.cloud.Inject(kmstest.Fault{Match: kmstest.Match{Action: "ScheduleKeyDeletion"}, Times: 1, Reset: kmstest.ResetBefore, Before: func() {
		if err := other.ScheduleKeyDeletion(context.Background(), key, 7); err != nil { // at the same moment
			t.Error(err)
		}
	}})
	require.Error(t, p.ScheduleKeyDeletion(t.Context(), key, 30))
}
