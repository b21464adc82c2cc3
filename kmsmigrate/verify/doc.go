// Package verify checks signatures that an Alibaba Cloud KMS key made, without the KMS.
//
// A key for signing cannot be re-keyed: what it signed stays signed by it. So before an old key goes, its public key is
// retained, and old signatures are verified with that, for as long as anybody relies on them. Two calls do it:
//
//	store, err := verify.ReadFile("retained-keys.json")
//	err = verify.Signature(ctx, store, verify.Request{KeyID: id, VersionID: version, Algorithm: verify.ECDSASHA256, Digest: digest, Signature: signature})
//
// A [Store] finds a [Retained] key by key id and version id, which together are what a signature was made under: the KMS
// names both with every signature (API reference, AsymmetricSign). [Memory], [ReadFile] and [ReadFS] are stores; an application can
// bring its own, a table say.
//
// # Pins and dates
//
// A public key that anybody could exchange proves nothing. Each retained key is pinned: its fingerprint, the SHA-256 of its
// SubjectPublicKeyInfo, stands beside it, and a key that does not match is refused; under one key id and version there is one
// public key, and adding another is refused. KeepUntil is the date until which a key must be kept; Memory.Remove refuses
// before it. A key that is still there after it goes on verifying.
//
// # Algorithms
//
// Signatures have the KMS's encodings: RSA_PSS_SHA_256 with MGF1 over SHA-256 and a salt of exactly 32 bytes, RSA_PKCS1_SHA_256,
// ECDSA_SHA_256 on P-256 and on P-256K (secp256k1) and SM2DSA, these as a DER sequence of r and s. What is signed is a digest
// of 32 bytes: SHA-256 of the message or, for SM2DSA, SM3 over Z_A and the message with the user id 1234567812345678.
// [PublicKey.Digest] computes it.
//
// The package imports nothing of the KMS, so that a program which only verifies stays small.
package verify
