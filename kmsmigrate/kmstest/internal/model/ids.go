package model

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"unicode"
)

const idAlphabet = "0123456789abcdefghijklmnopqrstuvwxyz"

// token returns n random characters of the alphabet that KMS 3.0 ids use.
func token(n int) string {
	raw := make([]byte, n)
	rand.Read(raw)
	for i, b := range raw {
		raw[i] = idAlphabet[int(b)%len(idAlphabet)]
	}
	return string(raw)
}

// NewUUID returns a random id in the form of KMS 1.0 keys, key versions and request ids.
func NewUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], b[0:4])
	out[8] = '-'
	hex.Encode(out[9:13], b[4:6])
	out[13] = '-'
	hex.Encode(out[14:18], b[6:8])
	out[18] = '-'
	hex.Encode(out[19:23], b[8:10])
	out[23] = '-'
	hex.Encode(out[24:36], b[10:16])
	return string(out[:])
}

// newKeyID returns "key-", three letters of the region and 18 characters: 25 in all, as KMS 3.0 does.
func newKeyID(region string) string { return "key-" + regionLetters(region) + token(18) }

// newInstanceID returns an id like kst-hzz62ee817bdyyr5x0000.
func newInstanceID(region string) string { return "kst-" + regionLetters(region) + token(18) }

// newVersionID returns the id of a further version: a UUID under a UUID key; under a 3.0 key its id, a dash and 10 characters.
// Both are exactly 36 bytes, so the length of an id says nothing about its generation.
func newVersionID(keyID string) string {
	if strings.HasPrefix(keyID, "key-") {
		return keyID + "-" + token(10)
	}
	return NewUUID()
}

// regionLetters follows the examples in the documents (hzz, bjj, phz for places in China) and invents the rest alike.
func regionLetters(region string) string {
	switch region {
	case "cn-hangzhou":
		return "hzz"
	case "cn-beijing":
		return "bjj"
	case "cn-shanghai":
		return "shh"
	case "cn-shenzhen":
		return "szz"
	}
	_, place, _ := strings.Cut(region, "-")
	letters := strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || !unicode.IsLower(r) {
			return -1
		}
		return r
	}, place)
	return (letters + "xxx")[:3]
}
