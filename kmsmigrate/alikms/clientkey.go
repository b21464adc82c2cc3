package alikms

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// clientKey is the credential of an instance's application access point, parsed once: the official SDK parses the RSA
// key again for each signature, which is a tenth of its CPU time.
type clientKey struct {
	id      string
	private *rsa.PrivateKey
	cert    tls.Certificate // offered where the instance asks for mutual TLS
	expires time.Time
}

// parseClientKey reads the JSON of a clientKey_KAAP.….json file. No error of it holds anything of the file but the id.
func parseClientKey(content []byte, password string, now time.Time) (*clientKey, error) {
	var file struct {
		KeyID          string `json:"KeyId"`
		PrivateKeyData string `json:"PrivateKeyData"`
	}
	if err := json.Unmarshal(content, &file); err != nil {
		return nil, invalid("the ClientKey is not the JSON of a clientKey_KAAP.….json file")
	}
	if file.KeyID == "" || file.PrivateKeyData == "" {
		return nil, invalid("the ClientKey lacks KeyId or PrivateKeyData")
	}
	der, err := base64.StdEncoding.DecodeString(file.PrivateKeyData)
	if err != nil {
		return nil, invalid("the ClientKey's PrivateKeyData is not base64")
	}
	key, cert, chain, err := pkcs12.DecodeChain(der, password)
	if errors.Is(err, pkcs12.ErrIncorrectPassword) {
		return nil, invalid("the password does not open the ClientKey %s", clip(file.KeyID))
	}
	if err != nil {
		return nil, invalid("the ClientKey %s does not hold a PKCS#12 store with one RSA key and its certificate", clip(file.KeyID))
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, invalid("the ClientKey %s holds a key that is not RSA", clip(file.KeyID))
	}
	if !private.PublicKey.Equal(cert.PublicKey) {
		return nil, invalid("the RSA key of the ClientKey %s does not match its certificate", clip(file.KeyID))
	}
	if now.After(cert.NotAfter) {
		return nil, invalid("the ClientKey %s expired on %s: create a new one for the application access point", clip(file.KeyID), cert.NotAfter.UTC().Format(time.DateOnly))
	}
	if now.Before(cert.NotBefore) {
		return nil, invalid("the ClientKey %s is not valid before %s; check the clock", clip(file.KeyID), cert.NotBefore.UTC().Format(time.RFC3339))
	}
	certs := [][]byte{cert.Raw}
	for _, c := range chain {
		certs = append(certs, c.Raw)
	}
	return &clientKey{
		id: file.KeyID, private: private, expires: cert.NotAfter,
		cert: tls.Certificate{Certificate: certs, PrivateKey: private, Leaf: cert},
	}, nil
}

// parseCA makes a pool of PEM certificates, and refuses a file that does not consist of them: AppendCertsFromPEM would
// skip what it cannot read. No PEM means the system's roots.
func parseCA(text []byte) (*x509.CertPool, error) {
	if len(text) == 0 {
		return nil, nil
	}
	roots := x509.NewCertPool()
	found := 0
	for rest := text; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			return nil, invalid("CAPEM: block %d is not a certificate", found+1)
		}
		roots.AddCert(cert)
		found++
	}
	if found == 0 {
		return nil, invalid("CAPEM holds no PEM certificate")
	}
	return roots, nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("alikms: "+format+": %w", append(args, kmsmigrate.ErrInvalid)...)
}
