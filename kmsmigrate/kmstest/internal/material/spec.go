// Package material holds key material and what can be computed with it: AES, SM4, RSA, the three curves that KMS offers, and their
// encodings. It knows nothing of keys, ids, states or requests; package model does.
package material

import "slices"

// The key specifications of KMS (KeySpec of CreateKey).
const (
	AES256  = "Aliyun_AES_256"
	AES192  = "Aliyun_AES_192"
	AES128  = "Aliyun_AES_128"
	SM4     = "Aliyun_SM4"
	RSA2048 = "RSA_2048"
	RSA3072 = "RSA_3072"
	RSA4096 = "RSA_4096"
	P256    = "EC_P256"
	P256K   = "EC_P256K"
	SM2     = "EC_SM2"
)

// symmetricSizes gives the raw key length in bytes of each symmetric specification.
var symmetricSizes = map[string]int{AES256: 32, AES192: 24, AES128: 16, SM4: 16}

var asymmetric = []string{RSA2048, RSA3072, RSA4096, P256, P256K, SM2}

// Known reports whether spec is one that KMS documents.
func Known(spec string) bool { return Symmetric(spec) || slices.Contains(asymmetric, spec) }

// Symmetric reports whether spec is a symmetric one.
func Symmetric(spec string) bool { return symmetricSizes[spec] != 0 }

// Size returns the raw key length in bytes of a symmetric spec, and 0 for any other.
func Size(spec string) int { return symmetricSizes[spec] }
