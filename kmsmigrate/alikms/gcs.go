package alikms

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	openapiutil "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util"
	"google.golang.org/protobuf/proto"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// gcs is one call of the instance API, named like its official SDK.
type gcs struct {
	action          string
	key             string            // for errors
	header          map[string]string // sent along, signed where the name begins with x-kms-
	attempts        int               // at most; zero: as Limits has it
	request, answer proto.Message
	check           func(header func(string) string) string // says what is wrong with the decoded answer; "" for nothing
	secrets         func() secrets
	decrypt         bool
	reveals         bool
}

// gcs makes the call, with the messages and the string to sign of the official SDK.
func (i *Instance) gcs(ctx context.Context, c gcs) error {
	body, err := proto.Marshal(c.request)
	if err != nil {
		return i.wrong(c.action, c.key, kmsmigrate.ErrInvalid, "the request cannot be encoded: a text in it is not UTF-8")
	}
	return i.call(ctx, operation{
		name: c.action, key: c.key, decrypt: c.decrypt, reveals: c.reveals, attempts: c.attempts,
		sign: func(ctx context.Context) (*http.Request, error) {
			return i.clientKey.Load().sign(ctx, i.scheme, i.host, c.action, c.header, body)
		},
		read: func(got answer) error {
			proto.Reset(c.answer)
			// The decoder's errors can quote the answer, so they are not passed on.
			if proto.Unmarshal(got.body, c.answer) != nil {
				return errors.New("it is not the protobuf message that was asked for")
			}
			if complaint := c.check(got.header.Get); complaint != "" {
				return errors.New(complaint)
			}
			return nil
		},
		secrets: func() secrets {
			if c.secrets == nil {
				return nil
			}
			return c.secrets()
		},
	})
}

// protobufType is the media type of requests and answers.
const protobufType = "application/x-protobuf"

// sign makes one signed request: an RSA signature over the digest of the body, the time and the x-kms headers.
func (k *clientKey) sign(ctx context.Context, scheme, host, action string, more map[string]string, body []byte) (*http.Request, error) {
	digest := sha256.Sum256(body)
	headers := map[string]*string{
		"content-sha256":        tea.String(strings.ToUpper(hex.EncodeToString(digest[:]))),
		"content-type":          tea.String(protobufType),
		"date":                  tea.String(time.Now().UTC().Format(http.TimeFormat)),
		"x-kms-acccesskeyid":    tea.String(k.id), // with three c, as the service wants it
		"x-kms-apiname":         tea.String(action),
		"x-kms-apiversion":      tea.String("dkms-gcs-0.2"),
		"x-kms-signaturemethod": tea.String("RSA_PKCS1_SHA_256"),
	}
	for name, value := range more {
		if name = strings.ToLower(name); headers[name] == nil { // what a request is signed with is not the caller's to say
			headers[name] = tea.String(value)
		}
	}
	text, err := openapiutil.GetStringToSign(tea.String(http.MethodPost), tea.String("/"), headers, nil)
	if err != nil {
		return nil, errors.New("the request cannot be signed")
	}
	hash := sha256.Sum256([]byte(tea.StringValue(text)))
	signature, err := rsa.SignPKCS1v15(rand.Reader, k.private, crypto.SHA256, hash[:])
	if err != nil {
		return nil, errors.New("the request cannot be signed")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+"://"+host+"/", bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the request cannot be built")
	}
	for name, value := range headers {
		request.Header[name] = []string{*value} // lower-case, as the official SDK sends them
	}
	request.Header.Set("Accept", protobufType)
	request.Header.Set("Authorization", "Bearer "+base64.StdEncoding.EncodeToString(signature))
	request.Header.Set("User-Agent", userAgent)
	return request, nil
}
