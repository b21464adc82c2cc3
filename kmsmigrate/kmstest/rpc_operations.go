package kmstest

import (
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// operation is one action of the API.
type operation struct {
	do       func(*rpcCall) (stamped, *model.Error)
	class    QuotaClass
	business bool // served by the RPC face of an instance too
	dryRun   bool // has a DryRun parameter
}

// operations is every action there is. It is never written to.
var operations = map[string]operation{
	"Encrypt":                         {encrypt, Symmetric, true, true},
	"Decrypt":                         {decrypt, Symmetric, true, true},
	"GenerateDataKey":                 {generateDataKey, Symmetric, true, true},
	"GenerateDataKeyWithoutPlaintext": {generateDataKeyWithoutPlaintext, Symmetric, true, true},
	"AdvanceEncrypt":                  {advanceEncrypt, Symmetric, true, false},
	"AdvanceDecrypt":                  {advanceDecrypt, Symmetric, true, false},
	"AdvanceGenerateDataKey":          {advanceGenerateDataKey, Symmetric, true, false},
	"ExportDataKey":                   {exportDataKey, Symmetric, true, true},
	"GenerateAndExportDataKey":        {generateAndExportDataKey, Symmetric, true, true},
	"ReEncrypt":                       {reEncrypt, ReEncryption, false, true},

	"AsymmetricEncrypt": {asymmetricEncrypt, Asymmetric, true, true},
	"AsymmetricDecrypt": {asymmetricDecrypt, Asymmetric, true, true},
	"AsymmetricSign":    {asymmetricSign, Asymmetric, true, true},
	"AsymmetricVerify":  {asymmetricVerify, Asymmetric, true, true},
	"GetPublicKey":      {getPublicKey, Asymmetric, true, true},

	"CreateKey":              {createKey, KeyCreation, false, false},
	"DescribeKey":            {describeKey, KeyReads, false, false},
	"ListKeys":               {listKeys, KeyReads, false, false},
	"ListKeyVersions":        {listKeyVersions, KeyReads, false, false},
	"DescribeKeyVersion":     {describeKeyVersion, KeyReads, false, false},
	"CreateKeyVersion":       {createKeyVersion, KeyWrites, false, false},
	"EnableKey":              {enableKey, KeyWrites, false, false},
	"DisableKey":             {disableKey, KeyWrites, false, false},
	"ScheduleKeyDeletion":    {scheduleKeyDeletion, KeyWrites, false, false},
	"CancelKeyDeletion":      {cancelKeyDeletion, KeyWrites, false, false},
	"UpdateRotationPolicy":   {updateRotationPolicy, KeyWrites, false, false},
	"SetDeletionProtection":  {setDeletionProtection, KeyWrites, false, false},
	"UpdateKeyDescription":   {updateKeyDescription, KeyWrites, false, false},
	"GetParametersForImport": {getParametersForImport, KeyReads, false, false},
	"ImportKeyMaterial":      {importKeyMaterial, KeyWrites, false, false},
	"DeleteKeyMaterial":      {deleteKeyMaterial, KeyWrites, false, false},

	"CreateAlias":        {createAlias, KeyWrites, false, false},
	"UpdateAlias":        {updateAlias, KeyWrites, false, false},
	"DeleteAlias":        {deleteAlias, KeyWrites, false, false},
	"ListAliases":        {listAliases, KeyReads, false, false},
	"ListAliasesByKeyId": {listAliasesByKeyID, KeyReads, false, false},

	"TagResource":      {tagResource, KeyWrites, false, false},
	"UntagResource":    {untagResource, KeyWrites, false, false},
	"ListResourceTags": {listResourceTags, TagReads, false, false},
	"TagResources":     {tagResources, KeyWrites, false, false},
	"UntagResources":   {untagResources, KeyWrites, false, false},
	"ListTagResources": {listTagResources, TagReads, false, false},

	"CreateSecret":               {createSecret, SecretCreation, false, false},
	"DeleteSecret":               {deleteSecret, SecretCreation, false, false},
	"GetSecretValue":             {getSecretValue, SecretReads, true, true},
	"DescribeSecret":             {describeSecret, SecretReads, false, false},
	"PutSecretValue":             {putSecretValue, SecretWrites, false, false},
	"ListSecretVersionIds":       {listSecretVersionIDs, SecretWrites, false, false},
	"UpdateSecretVersionStage":   {updateSecretVersionStage, SecretWrites, false, false},
	"ListSecrets":                {listSecrets, SecretWrites, false, false},
	"RestoreSecret":              {restoreSecret, SecretWrites, false, false},
	"UpdateSecret":               {updateSecret, SecretWrites, false, false},
	"GetRandomPassword":          {getRandomPassword, SecretWrites, false, false},
	"RotateSecret":               {managedOnly, SecretWrites, false, false},
	"UpdateSecretRotationPolicy": {managedOnly, SecretWrites, false, false},

	"ListKmsInstances":         {listKmsInstances, InstanceReads, false, false},
	"GetKmsInstance":           {getKmsInstance, InstanceReads, false, false},
	"DescribeRegions":          {describeRegions, KeyReads, false, false},
	"DescribeAccountKmsStatus": {describeAccountKmsStatus, Account, false, false},
	"OpenKmsService":           {openKmsService, Account, false, false},
}
