package kmstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"
)

// authority is a private CA with one server certificate, made for one face.
type authority struct {
	pem    []byte
	cert   *x509.Certificate
	key    *ecdsa.PrivateKey
	server tls.Certificate
}

// Strict clients refuse server certificates that are valid for more than 398 days.
const serverLife = 397 * 24 * time.Hour

func newAuthority(name string, host net.IP) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	start := time.Now().Add(-time.Hour)
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name + " CA", Organization: []string{"kmstest"}},
		NotBefore: start, NotAfter: start.AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	a := &authority{cert: cert, key: key, pem: certPEM(der)}
	return a, a.issueServer(name, host)
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (a *authority) issueServer(name string, host net.IP) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	start := time.Now().Add(-time.Hour)
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name, Organization: []string{"kmstest"}},
		NotBefore: start, NotAfter: start.Add(serverLife), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if !host.IsLoopback() {
		template.IPAddresses = append(template.IPAddresses, host)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return err
	}
	a.server = tls.Certificate{Certificate: [][]byte{der, a.cert.Raw}, PrivateKey: key}
	return nil
}

// pool trusts this authority and no other.
func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // crypto/rand does not fail
	return n
}

// authorityState is an authority in a state file, everything in DER.
type authorityState struct {
	Cert, Key, ServerCert, ServerKey []byte
}

func (a *authority) state() (authorityState, error) {
	key, err := x509.MarshalECPrivateKey(a.key)
	if err != nil {
		return authorityState{}, err
	}
	serverKey, err := x509.MarshalECPrivateKey(a.server.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		return authorityState{}, err
	}
	return authorityState{a.cert.Raw, key, a.server.Certificate[0], serverKey}, nil
}

func (s authorityState) authority() (*authority, error) {
	cert, err := x509.ParseCertificate(s.Cert)
	if err != nil {
		return nil, err
	}
	key, err := x509.ParseECPrivateKey(s.Key)
	if err != nil {
		return nil, err
	}
	serverKey, err := x509.ParseECPrivateKey(s.ServerKey)
	if err != nil {
		return nil, err
	}
	return &authority{pem: certPEM(s.Cert), cert: cert, key: key,
		server: tls.Certificate{Certificate: [][]byte{s.ServerCert, s.Cert}, PrivateKey: serverKey}}, nil
}
