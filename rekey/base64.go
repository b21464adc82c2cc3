package rekey

import (
	"context"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Base64 returns a Codec for values that are the base64 text of what codec takes, as applications store the CiphertextBlob
// strings of the SDKs. White space around the text is ignored, and renewed values have none.
func Base64(codec Codec) Codec { return base64Codec{codec} }

type base64Codec struct{ inner Codec }

func (c base64Codec) Open(ctx context.Context, value []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.Opened, error) {
	raw, err := kmsmigrate.DecodeBlob(string(value))
	if err != nil {
		return kmsmigrate.Opened{}, err
	}
	return c.inner.Open(ctx, raw, ec)
}

func (c base64Codec) Renew(ctx context.Context, value []byte, ec kmsmigrate.EncryptionContext) (kmsmigrate.Renewed, error) {
	raw, err := kmsmigrate.DecodeBlob(string(value))
	if err != nil {
		return kmsmigrate.Renewed{}, err
	}
	renewed, err := c.inner.Renew(ctx, raw, ec)
	if err == nil && renewed.Ciphertext != nil {
		renewed.Ciphertext = []byte(kmsmigrate.EncodeBlob(renewed.Ciphertext))
	}
	return renewed, err
}

func (c base64Codec) Inspect(value []byte) (kmsmigrate.Info, error) {
	raw, err := kmsmigrate.DecodeBlob(string(value))
	if err != nil {
		return kmsmigrate.Info{}, err
	}
	return c.inner.Inspect(raw)
}
