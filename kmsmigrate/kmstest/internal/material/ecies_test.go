package material_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
)

// weierstrass is y² = x³ + ax + b mod p by the textbook, with nothing shared with what is under test.
type weierstrass struct{ p, a, gx, gy *big.Int }

func number(s string) *big.Int {
	n, _ := new(big.Int).SetString(s, 16)
	return n
}

var curves = map[string]weierstrass{
	material.P256: {number("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff"), big.NewInt(-3),
		number("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"), number("4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5")},
	material.P256K: {number("fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f"), big.NewInt(0),
		number("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"), number("483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8")},
}

// add adds two points; x is nil at infinity.
func (c weierstrass) add(x1, y1, x2, y2 *big.Int) (x, y *big.Int) {
	switch {
	case x1 == nil:
		return x2, y2
	case x2 == nil:
		return x1, y1
	case x1.Cmp(x2) == 0 && y1.Cmp(y2) != 0:
		return nil, nil
	}
	top, bottom := new(big.Int).Sub(y2, y1), new(big.Int).Sub(x2, x1)
	if x1.Cmp(x2) == 0 {
		top = new(big.Int).Add(new(big.Int).Mul(big.NewInt(3), new(big.Int).Mul(x1, x1)), c.a)
		bottom = new(big.Int).Lsh(y1, 1)
	}
	slope := new(big.Int).Mul(top, new(big.Int).ModInverse(bottom.Mod(bottom, c.p), c.p))
	x = new(big.Int).Sub(new(big.Int).Mul(slope, slope), new(big.Int).Add(x1, x2))
	x.Mod(x, c.p)
	y = new(big.Int).Sub(new(big.Int).Mul(slope, new(big.Int).Sub(x1, x)), y1)
	return x, y.Mod(y, c.p)
}

func (c weierstrass) multiply(k, px, py *big.Int) (x, y *big.Int) {
	for i := k.BitLen() - 1; i >= 0; i-- {
		x, y = c.add(x, y, x, y)
		if k.Bit(i) == 1 {
			x, y = c.add(x, y, px, py)
		}
	}
	return x, y
}

// derive is KDF, XOR and HMAC of SEC 1 by the letter.
func derive(shared *big.Int, in []byte) (masked []byte, mac func([]byte) []byte) {
	z := shared.FillBytes(make([]byte, 32))
	var k []byte
	for i := uint32(1); len(k) < len(in)+20; i++ {
		h := sha1.New()
		h.Write(z)
		_ = binary.Write(h, binary.BigEndian, i)
		k = h.Sum(k)
	}
	masked = make([]byte, len(in))
	for i := range in {
		masked[i] = in[i] ^ k[i]
	}
	key := k[len(in) : len(in)+20]
	return masked, func(b []byte) []byte {
		m := hmac.New(sha1.New, key)
		m.Write(b)
		return m.Sum(nil)
	}
}

func TestECIESIsSEC1ByTheLetter(t *testing.T) {
	t.Parallel()
	for spec, c := range curves {
		m, err := material.New(spec)
		require.NoError(t, err)
		secret, err := m.Marshal()
		require.NoError(t, err)
		d := new(big.Int).SetBytes(secret)
		for _, size := range []int{0, 1, 19, 20, 21, 300, 6144} {
			text := make([]byte, size)
			for i := range text {
				text[i] = byte(i)
			}
			sealed, err := m.Encrypt(material.ECIES, text)
			require.NoError(t, err)
			require.Len(t, sealed, 65+size+20)
			require.EqualValues(t, 4, sealed[0])
			x, _ := c.multiply(d, new(big.Int).SetBytes(sealed[1:33]), new(big.Int).SetBytes(sealed[33:65]))
			opened, mac := derive(x, sealed[65:65+size])
			require.Equal(t, text, opened)
			require.Equal(t, mac(sealed[65:65+size]), sealed[65+size:])

			// And the other way round, with an ephemeral key of the test's own.
			k := big.NewInt(0x5eed_1234_5678)
			publicX, publicY := c.multiply(d, c.gx, c.gy)
			rx, ry := c.multiply(k, c.gx, c.gy)
			x, _ = c.multiply(k, publicX, publicY)
			masked, mac := derive(x, text)
			foreign := append([]byte{4}, rx.FillBytes(make([]byte, 32))...)
			foreign = append(foreign, ry.FillBytes(make([]byte, 32))...)
			foreign = append(append(foreign, masked...), mac(masked)...)
			back, err := m.Decrypt(material.ECIES, foreign)
			require.NoError(t, err)
			require.Equal(t, text, back)
		}
	}
}

func TestECIESRefusesWhatDoesNotOpen(t *testing.T) {
	t.Parallel()
	for spec := range curves {
		m, err := material.New(spec)
		require.NoError(t, err)
		_, err = m.Encrypt(material.ECIES, make([]byte, 6145))
		require.ErrorIs(t, err, material.ErrTooLong)
		_, err = m.Encrypt(material.SM2PKE, []byte("x"))
		require.Error(t, err)
		sealed, err := m.Encrypt(material.ECIES, []byte("text"))
		require.NoError(t, err)
		for i := range sealed {
			broken := append([]byte(nil), sealed...)
			broken[i] ^= 1
			_, err := m.Decrypt(material.ECIES, broken)
			require.ErrorIs(t, err, material.ErrOpen, "byte %d", i)
		}
		for _, n := range []int{0, 1, 64, 65, 84, len(sealed) - 1} {
			_, err := m.Decrypt(material.ECIES, sealed[:n])
			require.ErrorIs(t, err, material.ErrOpen, "%d bytes", n)
		}
	}
}

// The first vector of NIST's CAVP for the KDF of ANSI X9.63 with SHA-1, against the KDF of this test, against which the other is tested.
func TestKDFOfTheTestKnowsAnAnswer(t *testing.T) {
	t.Parallel()
	z, err := hex.DecodeString("1c7d7b5f0597b03d06a018466ed1a93e30ed4b04dc64ccdd")
	require.NoError(t, err)
	sum := sha1.Sum(append(z, 0, 0, 0, 1))
	require.Equal(t, "bf71dffd8f4d99223936beb46fee8ccc", hex.EncodeToString(sum[:16]))
}

func FuzzOpenECIES(f *testing.F) {
	var all []*material.Material
	for spec := range curves {
		m, err := material.New(spec)
		if err != nil {
			f.Fatal(err)
		}
		sealed, err := m.Encrypt(material.ECIES, []byte("x"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sealed)
		f.Add(sealed[:65])
		all = append(all, m)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, m := range all {
			if out, err := m.Decrypt(material.ECIES, b); err != nil && out != nil {
				t.Fatal("a plaintext beside an error")
			}
		}
	})
}
