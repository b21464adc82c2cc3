// Package client has as much of the second SDK as the test needs.
package client

type DecryptResponseBody struct {
	KeyVersionId *string
}

func (b *DecryptResponseBody) GetKeyVersionId() *string { return b.KeyVersionId }

type EncryptRequest struct {
	KeyId *string
}

func (r *EncryptRequest) SetKeyId(v string) *EncryptRequest { return r }

// String makes a pointer, as package tea does.
func String(s string) *string { return &s }
