package kmstest_test

import (
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// The steps of this file are management, which the shared gateway alone does.

func (p *place) keys() []step {
	t, c := p.t, p.client
	id, arn := "", ""
	state := func(want string) {
		t.Helper()
		require.Equal(t, want, describe(t, c, id).KeyState)
	}
	return []step{
		{"ReEncrypt", func() {
			q := kms.CreateReEncryptRequest()
			q.CiphertextBlob, q.DestinationKeyId = encryptWith(t, c, p.key.ID(), "text", "").CiphertextBlob, p.key.ID()
			out := done(t, c.ReEncrypt, q)
			require.Equal(t, p.key.ID(), out.KeyId)
			require.Equal(t, p.key.VersionID(), out.KeyVersionId)
			opened, err := decryptWith(c, out.CiphertextBlob, "")
			require.NoError(t, err)
			require.Equal(t, "text", opened.Plaintext)
		}},
		{"CreateKey", func() {
			q := kms.CreateCreateKeyRequest()
			q.Description = "first"
			m := done(t, c.CreateKey, q).KeyMetadata
			require.Equal(t, []string{"Aliyun_AES_256", "ENCRYPT/DECRYPT", "Aliyun_KMS", "Enabled", "first"}, []string{m.KeySpec, m.KeyUsage, m.Origin, m.KeyState, m.Description})
			require.NotEmpty(t, m.PrimaryKeyVersion)
			require.NotEmpty(t, m.CreationDate)
			id, arn = m.KeyId, m.Arn
		}},
		{"UpdateKeyDescription", func() {
			q := kms.CreateUpdateKeyDescriptionRequest()
			q.KeyId, q.Description = id, "second"
			done(t, c.UpdateKeyDescription, q)
		}},
		{"DescribeKey", func() {
			q := kms.CreateDescribeKeyRequest()
			q.KeyId = arn
			m := done(t, c.DescribeKey, q).KeyMetadata
			require.Equal(t, []string{id, "second", "Disabled", "Disabled"}, []string{m.KeyId, m.Description, m.AutomaticRotation, m.DeletionProtection})
		}},
		{"ListKeys", func() {
			q := kms.CreateListKeysRequest()
			q.PageNumber, q.PageSize = requests.NewInteger(1), requests.NewInteger(100)
			out := done(t, c.ListKeys, q)
			require.Contains(t, out.Keys.Key, kms.Key{KeyId: id, KeyArn: arn})
			require.Equal(t, len(out.Keys.Key), out.TotalCount)
		}},
		{"UpdateRotationPolicy", func() {
			q := kms.CreateUpdateRotationPolicyRequest()
			q.KeyId, q.EnableAutomaticRotation, q.RotationInterval = id, requests.NewBoolean(true), "7d"
			done(t, c.UpdateRotationPolicy, q)
			require.Equal(t, "604800s", describe(t, c, id).RotationInterval)
		}},
		{"DisableKey", func() {
			q := kms.CreateDisableKeyRequest()
			q.KeyId = id
			done(t, c.DisableKey, q)
			state("Disabled")
		}},
		{"EnableKey", func() {
			q := kms.CreateEnableKeyRequest()
			q.KeyId = id
			done(t, c.EnableKey, q)
			state("Enabled")
		}},
		{"SetDeletionProtection", func() {
			for _, on := range []bool{true, false} {
				q := kms.CreateSetDeletionProtectionRequest()
				q.ProtectedResourceArn, q.EnableDeletionProtection = arn, requests.NewBoolean(on)
				done(t, c.SetDeletionProtection, q)
				require.Equal(t, map[bool]string{true: "Enabled", false: "Disabled"}[on], describe(t, c, id).DeletionProtection)
			}
		}},
		{"ScheduleKeyDeletion", func() {
			q := kms.CreateScheduleKeyDeletionRequest()
			q.KeyId, q.PendingWindowInDays = id, requests.NewInteger(7)
			done(t, c.ScheduleKeyDeletion, q)
			state("PendingDeletion")
		}},
		{"CancelKeyDeletion", func() {
			q := kms.CreateCancelKeyDeletionRequest()
			q.KeyId = id
			done(t, c.CancelKeyDeletion, q)
			state("Enabled")
		}},
	}
}

func (p *place) versions(cloud *kmstest.Cloud) []step {
	t, c := p.t, p.client
	var made kms.KeyVersion
	return []step{
		{"CreateKeyVersion", func() {
			cloud.Advance(8 * 24 * time.Hour) // manual versions are a week apart
			q := kms.CreateCreateKeyVersionRequest()
			q.KeyId = p.signer.ID()
			made = done(t, c.CreateKeyVersion, q).KeyVersion
			require.Equal(t, p.signer.ID(), made.KeyId)
			require.NotEmpty(t, made.CreationDate)
		}},
		{"DescribeKeyVersion", func() {
			q := kms.CreateDescribeKeyVersionRequest()
			q.KeyId, q.KeyVersionId = p.signer.ID(), made.KeyVersionId
			require.Equal(t, made, done(t, c.DescribeKeyVersion, q).KeyVersion)
		}},
		{"ListKeyVersions", func() {
			q := kms.CreateListKeyVersionsRequest()
			q.KeyId = p.signer.ID()
			out := done(t, c.ListKeyVersions, q)
			require.Equal(t, 2, out.TotalCount)
			require.Contains(t, out.KeyVersions.KeyVersion, made)
		}},
	}
}

func (p *place) aliases() []step {
	t, c := p.t, p.client
	const name = "alias/every"
	return []step{
		{"CreateAlias", func() {
			q := kms.CreateCreateAliasRequest()
			q.AliasName, q.KeyId = name, p.key.ID()
			done(t, c.CreateAlias, q)
			require.Equal(t, p.key.ID(), describe(t, c, name).KeyId)
		}},
		{"UpdateAlias", func() {
			q := kms.CreateUpdateAliasRequest()
			q.AliasName, q.KeyId = name, p.sealer.ID()
			done(t, c.UpdateAlias, q)
			require.Equal(t, p.sealer.ID(), describe(t, c, name).KeyId)
		}},
		{"ListAliases", func() {
			out := done(t, c.ListAliases, kms.CreateListAliasesRequest())
			require.Equal(t, 1, out.TotalCount)
			require.Equal(t, name, out.Aliases.Alias[0].AliasName)
			require.Contains(t, out.Aliases.Alias[0].AliasArn, name)
		}},
		{"ListAliasesByKeyId", func() {
			q := kms.CreateListAliasesByKeyIdRequest()
			q.KeyId = p.sealer.ID()
			out := done(t, c.ListAliasesByKeyId, q)
			require.Equal(t, 1, out.TotalCount)
			require.Equal(t, p.sealer.ID(), out.Aliases.Alias[0].KeyId)
		}},
		{"DeleteAlias", func() {
			q := kms.CreateDeleteAliasRequest()
			q.AliasName = name
			done(t, c.DeleteAlias, q)
			require.Zero(t, done(t, c.ListAliases, kms.CreateListAliasesRequest()).TotalCount)
		}},
	}
}

func (p *place) tags() []step {
	t, c := p.t, p.client
	return []step{
		{"TagResource", func() {
			q := kms.CreateTagResourceRequest()
			q.KeyId, q.Tags = p.key.ID(), `[{"TagKey":"a","TagValue":"1"}]`
			done(t, c.TagResource, q)
		}},
		{"TagResources", func() {
			q := kms.CreateTagResourcesRequest()
			q.ResourceType, q.ResourceId, q.Tag = "key", &[]string{p.key.ID()}, &[]kms.TagResourcesTag{{Key: "b", Value: "2"}}
			done(t, c.TagResources, q)
		}},
		{"ListResourceTags", func() {
			q := kms.CreateListResourceTagsRequest()
			q.KeyId = p.key.ID()
			out := done(t, c.ListResourceTags, q)
			require.ElementsMatch(t, []kms.Tag{{KeyId: p.key.ID(), TagKey: "a", TagValue: "1"}, {KeyId: p.key.ID(), TagKey: "b", TagValue: "2"}}, out.Tags.Tag)
		}},
		{"UntagResource", func() {
			q := kms.CreateUntagResourceRequest()
			q.KeyId, q.TagKeys = p.key.ID(), `["a"]`
			done(t, c.UntagResource, q)
		}},
		{"ListTagResources", func() {
			q := kms.CreateListTagResourcesRequest()
			q.ResourceType, q.ResourceId = "key", &[]string{p.key.ID()}
			out := done(t, c.ListTagResources, q)
			require.Equal(t, []kms.TagResource{{ResourceType: "key", ResourceId: p.key.ID(), TagKey: "b", TagValue: "2"}}, out.TagResources.TagResource)
		}},
		{"UntagResources", func() {
			q := kms.CreateUntagResourcesRequest()
			q.ResourceType, q.ResourceId, q.All = "key", &[]string{p.key.ID()}, requests.NewBoolean(true)
			done(t, c.UntagResources, q)
			l := kms.CreateListResourceTagsRequest()
			l.KeyId = p.key.ID()
			require.Empty(t, done(t, c.ListResourceTags, l).Tags.Tag)
		}},
	}
}

func (p *place) secrets() []step {
	t, c := p.t, p.client
	const name = "every/secret"
	return []step{
		{"CreateSecret", func() {
			q := kms.CreateCreateSecretRequest()
			q.SecretName, q.VersionId, q.SecretData, q.EncryptionKeyId, q.Description = name, "v1", "one", p.key.ID(), "first"
			out := done(t, c.CreateSecret, q)
			require.Equal(t, []string{name, "v1", "Generic"}, []string{out.SecretName, out.VersionId, out.SecretType})
			require.Contains(t, out.Arn, ":secret/"+name)
		}},
		{"PutSecretValue", func() {
			q := kms.CreatePutSecretValueRequest()
			q.SecretName, q.VersionId, q.SecretData = name, "v2", "two"
			out := done(t, c.PutSecretValue, q)
			require.Equal(t, "v2", out.VersionId)
			require.Equal(t, []string{"ACSCurrent"}, out.VersionStages.VersionStage)
		}},
		{"ListSecretVersionIds", func() {
			q := kms.CreateListSecretVersionIdsRequest()
			q.SecretName = name
			out := done(t, c.ListSecretVersionIds, q)
			require.Equal(t, name, out.SecretName)
			require.Len(t, out.VersionIds.VersionId, 2)
			require.NotEmpty(t, out.VersionIds.VersionId[0].CreateTime)
		}},
		{"UpdateSecretVersionStage", func() {
			q := kms.CreateUpdateSecretVersionStageRequest()
			q.SecretName, q.VersionStage, q.MoveToVersion = name, "ACSCurrent", "v1"
			require.Equal(t, name, done(t, c.UpdateSecretVersionStage, q).SecretName)
			out, err := secretValue(c, name, "", "")
			require.NoError(t, err)
			require.Equal(t, "one", out.SecretData)
		}},
		{"UpdateSecret", func() {
			q := kms.CreateUpdateSecretRequest()
			q.SecretName, q.Description = name, "second"
			require.Equal(t, name, done(t, c.UpdateSecret, q).SecretName)
		}},
		{"DescribeSecret", func() {
			q := kms.CreateDescribeSecretRequest()
			q.SecretName = name
			out := done(t, c.DescribeSecret, q)
			require.Equal(t, []string{name, "second", "Generic", p.key.ID()}, []string{out.SecretName, out.Description, out.SecretType, out.EncryptionKeyId})
			require.NotEmpty(t, out.CreateTime)
			require.NotEmpty(t, out.UpdateTime)
		}},
		{"ListSecrets", func() {
			q := kms.CreateListSecretsRequest()
			q.Filters = `[{"Key":"SecretName","Values":["` + name + `"]}]`
			out := done(t, c.ListSecrets, q)
			require.Equal(t, 1, out.TotalCount)
			require.Equal(t, name, out.SecretList.Secret[0].SecretName)
		}},
		{"DeleteSecret", func() {
			q := kms.CreateDeleteSecretRequest()
			q.SecretName, q.RecoveryWindowInDays = name, "7"
			out := done(t, c.DeleteSecret, q)
			require.Equal(t, name, out.SecretName)
			require.NotEmpty(t, out.PlannedDeleteTime)
		}},
		{"RestoreSecret", func() {
			q := kms.CreateRestoreSecretRequest()
			q.SecretName = name
			require.Equal(t, name, done(t, c.RestoreSecret, q).SecretName)
		}},
		{"GetRandomPassword", func() {
			q := kms.CreateGetRandomPasswordRequest()
			q.PasswordLength, q.ExcludePunctuation = "20", "true"
			require.Regexp(t, `^[0-9A-Za-z]{20}$`, done(t, c.GetRandomPassword, q).RandomPassword)
		}},
	}
}

func (p *place) account(cloud *kmstest.Cloud, instance *kmstest.Instance) []step {
	t, c := p.t, p.client
	return []step{
		{"ListKmsInstances", func() {
			out := done(t, c.ListKmsInstances, kms.CreateListKmsInstancesRequest())
			require.EqualValues(t, 1, out.TotalCount)
			require.Equal(t, instance.ID, out.KmsInstances.KmsInstance[0].KmsInstanceId)
			require.Contains(t, out.KmsInstances.KmsInstance[0].KmsInstanceArn, cloud.Account())
		}},
		{"GetKmsInstance", func() {
			q := kms.CreateGetKmsInstanceRequest()
			q.KmsInstanceId = instance.ID
			out := done(t, c.GetKmsInstance, q).KmsInstance
			require.Equal(t, []string{instance.ID, "prod", "Connected", string(instance.CA())}, []string{out.InstanceId, out.InstanceName, out.Status, out.CaCertificateChainPem})
		}},
		{"DescribeRegions", func() {
			require.Equal(t, []kms.Region{{RegionId: "cn-shanghai"}}, done(t, c.DescribeRegions, kms.CreateDescribeRegionsRequest()).Regions.Region)
		}},
		{"DescribeAccountKmsStatus", func() {
			require.Equal(t, "Enabled", done(t, c.DescribeAccountKmsStatus, kms.CreateDescribeAccountKmsStatusRequest()).AccountStatus)
		}},
		{"OpenKmsService", func() { done(t, c.OpenKmsService, kms.CreateOpenKmsServiceRequest()) }},
	}
}
