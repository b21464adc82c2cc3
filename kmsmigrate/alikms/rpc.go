package alikms

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
)

// parameters are those of one action; empty ones are not sent.
type parameters map[string]string

const pageSize = 100 // the most that the list operations take

func (p parameters) page(number int) parameters {
	p["PageNumber"], p["PageSize"] = strconv.Itoa(number), strconv.Itoa(pageSize)
	return p
}

// rpc is one call of the OpenAPI.
type rpc struct {
	action        string
	key           string // for errors
	parameters    parameters
	answer        responses.AcsResponse // decoded into
	check         func() string         // says what is wrong with the decoded answer; "" for nothing
	secrets       func() secrets        // the values of parameters that no error may show
	decrypt, once bool
	reveals       bool
}

// rpc makes the call. The official SDK signs the request and decodes the answer; the HTTP between is ours. Every attempt
// has a request of its own: the SDK's requests keep endpoint, token and parameters of their first use.
func (g *Gateway) rpc(ctx context.Context, c rpc) error {
	return g.call(ctx, operation{
		name: c.action, key: c.key, decrypt: c.decrypt, once: c.once, reveals: c.reveals,
		sign: func(ctx context.Context) (*http.Request, error) {
			return g.sign(ctx, c.action, c.parameters)
		},
		read: func(got answer) error {
			response := &http.Response{StatusCode: got.status, Header: got.header, Body: io.NopCloser(bytes.NewReader(got.body))}
			// The decoder's errors quote the answer, so they are not passed on.
			if !bytes.HasPrefix(bytes.TrimSpace(got.body), []byte("{")) || responses.Unmarshal(c.answer, response, "JSON") != nil {
				return errors.New("it is not the JSON that was asked for")
			}
			if complaint := c.check(); complaint != "" {
				return errors.New(complaint)
			}
			return nil
		},
		secrets: func() secrets {
			s := g.credential.secrets()
			if c.secrets != nil {
				s = append(s, c.secrets()...)
			}
			return s
		},
	})
}

// sign makes one request. auth.Sign is the part of kms.Client.BuildRequestWithSigner that signs; the rest of that method
// builds an http.Request, to throw it away, and looks for an endpoint, which we know.
func (g *Gateway) sign(ctx context.Context, action string, p parameters) (*http.Request, error) {
	key, err := g.credential.get(ctx)
	if err != nil {
		return nil, err
	}
	request := &requests.RpcRequest{}
	request.InitWithApiInfo("Kms", "2016-01-20", action, "kms", "openAPI")
	request.SetScheme(g.scheme)
	request.SetDomain(g.host)
	query := request.GetQueryParams()
	for name, value := range p {
		if value != "" {
			query[name] = value
		}
	}
	if err := auth.Sign(request, nil, g.ref.Region, key); err != nil {
		return nil, errors.New("the request cannot be signed")
	}
	out, err := http.NewRequestWithContext(ctx, request.GetMethod(), request.BuildUrl(), http.NoBody)
	if err != nil {
		return nil, errors.New("the request cannot be built") // the error would quote the URL
	}
	for name, value := range request.GetHeaders() {
		out.Header[name] = []string{value}
	}
	out.Header.Set("User-Agent", userAgent)
	return out, nil
}

const userAgent = "keyhaul"
