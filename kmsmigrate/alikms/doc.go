// Package alikms makes [kmsmigrate.Key]s of the two kinds of Alibaba Cloud KMS endpoint.
//
// A [Gateway] speaks the KMS OpenAPI: to the shared gateway of a region, public or VPC, and to the RPC face of a KMS
// instance with its private CA. An [Instance] speaks the protobuf API of a KMS instance with a ClientKey. Two calls do it,
// one for the endpoint and one for the key:
//
//	gateway, err := alikms.NewGateway(alikms.GatewayConfig{Region: "cn-hangzhou", AccessKeyID: id, AccessKeySecret: secret})
//	old, err := gateway.Key("alias/customers")
//
// # What crosses the wire
//
// Signatures and codecs are those of the official SDKs; the HTTP underneath is our own, because the SDKs' transports
// cannot be cancelled, race, leak connections and print plaintext in their errors. Calls go over TLS 1.2 or later, time out
// after 10 seconds unless told otherwise, end when their context does, and are repeated only where that can help.
//
// Ciphertext is the raw form of the OpenAPI's CiphertextBlob everywhere. An Instance calls AdvanceEncrypt and
// AdvanceDecrypt, so that a ciphertext names its key version and rotation takes effect, and adds or strips the three bytes
// 24 00 02 that they put in front. Plaintext is exact: an Instance takes any bytes; a Gateway sends the plaintext as the
// string that it is, as the SDKs do, and refuses what is not UTF-8. Nothing guesses base64. [Gateway.AdvanceEncrypt] takes any
// bytes; the OpenAPI has no AdvanceDecrypt, so an Instance must open them, and Alibaba's shared gateways refuse it for keys that
// are outside of an instance (UnsupportedOperation).
//
// Data that was bound to something other than an encryption context, such as the JSON text that the transfer SDKs of 2022 gave
// an instance as it was, is opened by the typed operations with [Binding].Raw. A Key does not guess: move such data first.
//
// # Hardware instances
//
// Alibaba documents Advance* for software instances only. For keys of a hardware instance use a Gateway on the instance's
// RPC face: Endpoint is the instance's host and CAPEM its private CA. It needs instance image 3.0.0 or later and a RAM
// access key. [FormMigrationHeader] is the older way on the protobuf face. The form is configuration; it is never chosen
// because a call failed.
//
// # Whose ciphertext
//
// Decrypt takes no key id and opens whatever the account and region can, so a Key checks the key that the answer names:
// another one is [kmsmigrate.ErrForeign]. Owns tells from the version id that a ciphertext begins with. For keys of KMS
// 3.0 the id itself tells. Others come from GatewayConfig.Versions, from ListKeyVersions where that is permitted, and from
// every decryption that succeeded; never from one that failed.
//
// # Load
//
// [Limits] bounds the calls of an endpoint. Work under [kmsmigrate.Background] has what other calls leave of the rate and
// of the connections, and backs off when the service throttles or slows down. A quota that nobody stated is found: the rate
// falls once where throttling begins and stays close below it from then on. A foreground call that is throttled beside background
// work is soon repeated, and that work held back meanwhile. An endpoint that fails many times in a row is left alone for a
// moment. Retries are bounded for the whole endpoint as well as for each call, so that they do not keep a
// service down that is trying to get up.
//
// # Credentials and permissions
//
// A Gateway takes a RAM access key, a credential of alibaba-cloud-sdk-go, or one of credentials-go, the V2.0 SDK's package.
// Choose the last for new code: the first SDK is past its end of support, and is used here for its codec and signature alone.
//
// Temporary credentials (a role of RAM, of an ECS instance, by OIDC) are the providers' business: they are asked before every call
// and renew what is about to expire. They go to STS, or to the metadata of the ECS instance at 100.100.100.200, by their
// own HTTP, through the proxy of the environment but with time-outs of their own; a call does not wait for them beyond its
// deadline. Exempt 100.100.100.200 in NO_PROXY where there is a proxy.
//
// PERMISSIONS.md, beside this file, lists what each side needs in each phase, as RAM policies ready to paste.
package alikms
