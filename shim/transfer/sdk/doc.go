// Package sdk takes the place of github.com/aliyun/alibabacloud-dkms-transfer-go-sdk/sdk in an application that is to migrate: the import path is
// the whole change.
//
//	import "github.com/keyhaul/keyhaul/shim/transfer/sdk"
//
// It has every name of the original, and KmsTransferClient is one that routes as shim.Client does.
//
// # Which side is which
//
// The constructors of the original take two things: a region with a credential, which is the shared gateway, and the config of a KMS instance.
// The migration file, shim.Migration, which the environment variable KEYHAUL_MIGRATION names, says what they are. Without a "new" in it, the
// application is on its way from the gateway to the instance, as the original was made for: the gateway is the old side and the instance the
// new one. With a "new", the application has arrived there and goes on: the ten operations that the original gives to an instance have the
// instance as their old side, all others the gateway. A constructor without an instance is that of package shim/kms.
//
// Ciphertext of the instance is made as the original makes it, by Encrypt with the header x-kms-migrationkeyversionid; a "clientKey" in the
// file can have another form.
//
// # What differs
//
// The original sends all but the plain form of those ten operations to the shared gateway, so that EncryptWithChan encrypts with another key than Encrypt; here every form
// goes the same way. Of a dkms config, AccessKeyId with PrivateKey and Credential are refused, because they hold no certificate, as are
// proxies, which come from the environment. SetHTTPSInsecure does not take the client's certificate away. ReEncrypt is a Decrypt and an Encrypt where an instance is on
// either side.
package sdk
