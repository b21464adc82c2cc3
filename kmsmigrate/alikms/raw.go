package alikms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// RawCall is an operation of the OpenAPI by its name, for who passes on what somebody else asked for: package shim does. Everybody
// else has the methods of Gateway, which know what they ask and what the answer must be.
type RawCall struct {
	// Action is the operation: "TagResource". It is needed.
	Action string
	// Parameters are its parameters, as the API reference names them, without those that every request has: signature, access
	// key, time, Format, RegionId. Empty ones are not sent.
	Parameters map[string]string
	// Once says that the operation changes something that carrying it out twice would change twice. It is then repeated only where it
	// surely was not carried out.
	Once bool
	// Secret are values that no error may show, nor a part of them. The access key is one in any case.
	Secret []string
	// Revealing says that the answer is secret. Of a failure, nothing but the documented messages is then kept.
	Revealing bool
	// Check decodes the answer of a success and says what cannot be right about it: "it has no KeyId". Empty: nothing. Its words go into
	// the error. Nil: any JSON object will do.
	Check func(body []byte) string
}

// Raw carries out an operation and returns the answer's body, a JSON object. Pacing, retries, the breaker, time-outs and observers are those
// of every other call of the Gateway.
//
// Errors are *kmsmigrate.Errors. What the service itself answered stands behind them as the SDK's *errors.ServerError, with the
// message where it is safe to show: of short text without escapes that quotes nothing of Secret.
func (g *Gateway) Raw(ctx context.Context, c RawCall) ([]byte, error) {
	if c.Action == "" {
		return nil, g.wrong("call", "", kmsmigrate.ErrInvalid, "there is no Action")
	}
	var body []byte
	err := g.call(ctx, operation{
		name: c.Action, key: shownKey(c.Parameters["KeyId"]), once: c.Once, reveals: c.Revealing,
		sign: func(ctx context.Context) (*http.Request, error) {
			return onShortStack(func() (*http.Request, error) { return g.sign(ctx, c.Action, c.Parameters) })
		},
		read: func(got answer) error {
			check := c.Check
			if check == nil {
				check = anyObject
			}
			if complaint := check(got.body); complaint != "" {
				return errors.New(complaint)
			}
			body = got.body
			return nil
		},
		secrets: func() secrets { return slices.Concat(g.credential.secrets(), secrets(c.Secret)) },
	})
	return body, err
}

func anyObject(body []byte) string {
	if !bytes.HasPrefix(bytes.TrimSpace(body), []byte("{")) || !json.Valid(body) {
		return "it is not the JSON that was asked for"
	}
	return ""
}

// onShortStack runs f on a goroutine of its own. The SDK's signature writes down the whole stack of its goroutine to find that one's
// number, for a nonce: under the stack of a server's handler that was a fifth of all that a call took of this process.
func onShortStack(f func() (*http.Request, error)) (request *http.Request, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		request, err = f()
	}()
	<-done
	return request, err
}
