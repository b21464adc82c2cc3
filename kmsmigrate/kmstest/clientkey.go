package kmstest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"time"

	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// ClientKey is an application's credential for the protobuf face of an instance.
type ClientKey struct {
	ID string
	// JSON is the content of the file that the console hands out: {"KeyId":…,"PrivateKeyData":…}, the latter a PKCS#12 in base64.
	JSON []byte
	// Password opens the PKCS#12.
	Password string
	// PrivateKeyPEM is the same RSA key in PKCS#1, for clients that take it without a PKCS#12.
	PrivateKeyPEM []byte
}

// clientKeyLife is the validity that the console proposes.
const clientKeyLife = 5 * 365 * 24 * time.Hour

// CreateClientKey makes a ClientKey that is valid for five years on the cloud's clock. It takes as long as an RSA key of 2,048 bits.
func (i *Instance) CreateClientKey() (*ClientKey, error) {
	return i.CreateClientKeyUntil(i.cloud.Now().Add(clientKeyLife))
}

// CreateClientKeyUntil makes a ClientKey that expires at the given time on the cloud's clock.
func (i *Instance) CreateClientKeyUntil(expires time.Time) (*ClientKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("kmstest: client key: %w", err)
	}
	ck := &ClientKey{ID: "KAAP." + CredentialPrefix + "-" + model.NewUUID(), Password: "Kt1!" + rand.Text()}
	cert, err := i.ca.issueClient(ck.ID, &key.PublicKey, expires)
	if err != nil {
		return nil, fmt.Errorf("kmstest: client key: %w", err)
	}
	// The SDK reads the oldest encoding only, one certificate and then one key.
	p12, err := pkcs12.LegacyDES.Encode(key, cert, nil, ck.Password)
	if err != nil {
		return nil, fmt.Errorf("kmstest: client key: %w", err)
	}
	ck.JSON, err = json.Marshal(struct {
		KeyID          string `json:"KeyId"`
		PrivateKeyData []byte
	}{ck.ID, p12})
	if err != nil {
		return nil, fmt.Errorf("kmstest: client key: %w", err)
	}
	ck.PrivateKeyPEM = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	i.model.AddClientKey(&model.ClientKey{ID: ck.ID, Public: &key.PublicKey, Expires: expires})
	return ck, nil
}

func (a *authority) issueClient(name string, public *rsa.PublicKey, expires time.Time) (*x509.Certificate, error) {
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: expires, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// String shows nothing that must stay secret.
func (ck *ClientKey) String() string { return "ClientKey " + ck.ID }
