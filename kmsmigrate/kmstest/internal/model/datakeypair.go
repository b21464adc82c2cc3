package model

import (
	"encoding/pem"
	"slices"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"
)

// KeyPair is a data key pair in the clear.
type KeyPair struct {
	Private []byte // PKCS#8
	Public  []byte // SubjectPublicKeyInfo
}

// NewKeyPair makes what GenerateDataKeyPair hands out, in PEM or DER.
func NewKeyPair(spec, format string) (KeyPair, *Error) {
	if !material.Known(spec) || material.Symmetric(spec) {
		return KeyPair{}, InvalidParameter("KeyPairSpec")
	}
	if !slices.Contains([]string{"", "PEM", "DER"}, format) {
		return KeyPair{}, InvalidParameter("KeyFormat")
	}
	m, err := material.New(spec)
	if err != nil {
		return KeyPair{}, Internal()
	}
	private, err := m.PrivatePKCS8()
	if err != nil {
		return KeyPair{}, Internal()
	}
	public, err := m.PublicPEM()
	if err != nil {
		return KeyPair{}, Internal()
	}
	if format == "DER" {
		block, _ := pem.Decode([]byte(public))
		return KeyPair{private, block.Bytes}, nil
	}
	return KeyPair{pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), []byte(public)}, nil
}
