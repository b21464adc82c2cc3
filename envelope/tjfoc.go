package envelope

import (
	"crypto/subtle"
	"encoding/binary"

	"github.com/emmansun/gmsm/sm4"
)

// openTJFoc opens what github.com/tjfoc/gmsm/sm4.Sm4GCM (v1.4.1 and before) sealed. It departs from GCM in three ways, all
// reproduced here and nowhere written: the last block that is hashed counts bytes where it should count bits; an empty
// plaintext is hashed as one block of zeros; and the counter spills over a byte of FF wherever one stands, the
// nonce included, so that nonces with such a byte have another key stream.
func openTJFoc(key, nonce, payload, bound []byte) ([]byte, bool) {
	block, err := sm4.NewCipher(key)
	if err != nil || len(nonce) != nonceSize || len(payload) < tagSize {
		return nil, false
	}
	ciphertext, tag := payload[:len(payload)-tagSize], payload[len(payload)-tagSize:]
	var h, y, mask [16]byte
	block.Encrypt(h[:], h[:])
	hash := ghash{h: [2]uint64{binary.BigEndian.Uint64(h[:8]), binary.BigEndian.Uint64(h[8:])}}
	hash.absorb(bound)
	hash.absorb(ciphertext)
	if len(ciphertext) == 0 {
		hash.absorb(make([]byte, 16))
	}
	var lengths [16]byte
	binary.BigEndian.PutUint64(lengths[:8], uint64(len(bound)))
	binary.BigEndian.PutUint64(lengths[8:], uint64(len(ciphertext)))
	hash.absorb(lengths[:])
	copy(y[:], nonce)
	y[15] = 1
	block.Encrypt(mask[:], y[:])
	sum := hash.sum()
	subtle.XORBytes(sum[:], sum[:], mask[:])
	if subtle.ConstantTimeCompare(sum[:], tag) != 1 {
		return nil, false
	}
	plaintext := make([]byte, len(ciphertext))
	for at := 0; at < len(ciphertext); at += 16 {
		tjfocIncrement(&y)
		block.Encrypt(mask[:], y[:])
		subtle.XORBytes(plaintext[at:], ciphertext[at:], mask[:])
	}
	return plaintext, true
}

// tjfocIncrement is their counter: the last byte counts rightly; any other that is FF, or becomes it, turns to 0 and
// carries on.
func tjfocIncrement(y *[16]byte) {
	carry := byte(0)
	if y[15]++; y[15] == 0 {
		carry = 1
	}
	for i := 14; i >= 0; i-- {
		// The sum is compared as a byte: FF with a carry wraps to 0 and loses the carry.
		if sum := y[i] + carry; sum < 0xff {
			y[i], carry = sum, 0
		} else {
			y[i], carry = 0, 1
		}
	}
}

// ghash is the hash of GCM, bit by bit: this is for old data, not for speed.
type ghash struct{ h, y [2]uint64 }

func (g *ghash) absorb(data []byte) {
	for len(data) > 0 {
		var b [16]byte
		n := copy(b[:], data)
		data = data[n:]
		g.y[0] ^= binary.BigEndian.Uint64(b[:8])
		g.y[1] ^= binary.BigEndian.Uint64(b[8:])
		g.multiply()
	}
}

func (g *ghash) multiply() {
	var z [2]uint64
	v := g.h
	for i := range 128 {
		word, bit := i/64, 63-i%64
		if g.y[word]>>bit&1 == 1 {
			z[0] ^= v[0]
			z[1] ^= v[1]
		}
		low := v[1] & 1
		v[1] = v[1]>>1 | v[0]<<63
		v[0] >>= 1
		if low == 1 {
			v[0] ^= 0xe1 << 56
		}
	}
	g.y = z
}

func (g *ghash) sum() (out [16]byte) {
	binary.BigEndian.PutUint64(out[:8], g.y[0])
	binary.BigEndian.PutUint64(out[8:], g.y[1])
	return out
}
