package shim

import (
	"context"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
)

//go:generate go run ./internal/generate

// Client has every method of *kms.Client and of the transfer SDK's *KmsTransferClient, and routes the calls as a [Transport] does. Make it
// with NewMigratingClient; an application that takes its client as an interface, or whose variable changes its type to *shim.Client,
// needs no other change.
//
// Unlike the originals it is safe for concurrent use, does not write to the requests that it is given, and its asynchronous forms need
// no EnableAsync, go where the plain forms go, and always answer.
type Client struct {
	router *router
	tasks  chan struct{} // asynchronous calls at once

	mu       sync.Mutex
	official *kms.Client // for methods that say nothing about calls; never called with
	read     time.Duration
	verify   string
}

const asynchronous = 128

// NewMigratingClient checks cfg and makes a Client of it, without a call; errors are those of NewTransport. Close it.
func NewMigratingClient(cfg Config) (*Client, error) {
	r, err := newRouter(cfg)
	if err != nil {
		return nil, err
	}
	official, err := officialClient(cfg)
	if err != nil {
		r.close()
		return nil, err
	}
	return &Client{router: r, official: official, tasks: make(chan struct{}, asynchronous)}, nil
}

// oneAtATime guards the SDK's table of endpoints, a global that its constructors write.
var oneAtATime sync.Mutex

func officialClient(cfg Config) (*kms.Client, error) {
	oneAtATime.Lock()
	defer oneAtATime.Unlock()
	at := cfg.Old
	if at.Region == "" {
		at = cfg.New
	}
	client, err := kms.NewClientWithOptions(at.Region, sdk.NewConfig().WithScheme("HTTPS"), credential(at))
	if err != nil {
		return nil, invalid("the official client refuses the access key")
	}
	client.Domain = at.Endpoint
	return client, nil
}

func credential(at alikms.GatewayConfig) auth.Credential {
	if at.SecurityToken != "" {
		return credentials.NewStsTokenCredential(at.AccessKeyID, at.AccessKeySecret, at.SecurityToken)
	}
	return credentials.NewAccessKeyCredential(at.AccessKeyID, at.AccessKeySecret)
}

// do carries out an operation of the SDK. Errors are those of the SDK: *errors.ServerError, or a ClientError for a request that is none.
func (c *Client) do(request requests.AcsRequest, response responses.AcsResponse) error {
	if common, ok := request.(*requests.CommonRequest); ok {
		if common == nil || !isMade(reflect.ValueOf(common)) {
			return unusable()
		}
		if common.Version != apiVersion {
			return sdkerrors.NewClientError("SDK.UnsupportedProduct", "The shim answers for version "+apiVersion+" of the KMS API alone.", nil)
		}
		return c.send(common.ApiName, merged(common.QueryParams, common.FormParams), common, response)
	}
	p, err := parametersOf(request)
	if err != nil {
		return err
	}
	return c.send(request.GetActionName(), p, request, response)
}

func (c *Client) send(action string, p params, request requests.AcsRequest, response responses.AcsResponse) error {
	wait := request.GetReadTimeout()
	if wait <= 0 {
		wait = c.GetReadTimeout()
	}
	if wait <= 0 {
		wait = 10 * time.Second // the SDK's own
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	format := "JSON"
	if strings.EqualFold(request.GetAcceptFormat(), "XML") {
		format = "XML"
	}
	a := c.router.do(ctx, action, p)
	if !a.ok() {
		format = "JSON"
	}
	return responses.Unmarshal(response, a.response(nil, action, format), format) //nolint:bodyclose // Unmarshal closes it
}

// merged joins query and form, without what the shim makes itself.
func merged(query, form map[string]string) params {
	p := params{}
	for _, from := range []map[string]string{query, form} {
		for name, value := range from {
			p[name] = value
		}
	}
	for _, name := range commonNames {
		delete(p, name)
	}
	return p
}

// parametersOf reads the fields of a request into parameters. It works on a copy: the SDK would write them into the request itself,
// where they stay, so that a field which was emptied is sent all the same and two goroutines cannot share a request.
func parametersOf(request requests.AcsRequest) (params, error) {
	given := reflect.ValueOf(request)
	if !given.IsValid() || given.Kind() != reflect.Pointer || given.IsNil() || given.Elem().Kind() != reflect.Struct {
		return nil, unusable()
	}
	own := given.Elem().FieldByName("RpcRequest")
	if !own.IsValid() || own.Kind() != reflect.Pointer || own.IsNil() || !isMade(own) {
		return nil, unusable()
	}
	rpc, ok := own.Interface().(*requests.RpcRequest)
	if !ok || request.GetActionName() == "" {
		return nil, unusable()
	}
	copied := reflect.New(given.Type().Elem())
	copied.Elem().Set(given.Elem())
	fresh := &requests.RpcRequest{}
	fresh.InitWithApiInfo("Kms", apiVersion, rpc.GetActionName(), "kms", "openAPI")
	for name, value := range rpc.GetQueryParams() {
		fresh.QueryParams[name] = value
	}
	for name, value := range rpc.GetFormParams() {
		fresh.FormParams[name] = value
	}
	copied.Elem().FieldByName("RpcRequest").Set(reflect.ValueOf(fresh))
	if err := requests.InitParams(copied.Interface().(requests.AcsRequest)); err != nil {
		return nil, unusable()
	}
	return merged(fresh.QueryParams, fresh.FormParams), nil
}

// isMade reports whether a constructor of the SDK made a request: it has the part without which the SDK's own methods panic.
func isMade(request reflect.Value) bool {
	base := request.Elem().FieldByName("baseRequest")
	return !base.IsValid() || !base.IsNil()
}

func unusable() error {
	return sdkerrors.NewClientError("SDK.InvalidParam", "The request is nil, or was not made by a function of the SDK.", nil)
}

// DoAction carries out any operation.
func (c *Client) DoAction(request requests.AcsRequest, response responses.AcsResponse) error {
	return c.do(request, response)
}

// DoActionWithSigner is DoAction: each side has its own access key, so signer is not used.
func (c *Client) DoActionWithSigner(request requests.AcsRequest, response responses.AcsResponse, _ auth.Signer) error {
	return c.do(request, response)
}

// ProcessCommonRequest carries out an operation that is named by ApiName.
func (c *Client) ProcessCommonRequest(request *requests.CommonRequest) (*responses.CommonResponse, error) {
	response := responses.NewCommonResponse()
	return response, c.do(request, response)
}

// ProcessCommonRequestWithSigner is ProcessCommonRequest: each side has its own access key.
func (c *Client) ProcessCommonRequestWithSigner(request *requests.CommonRequest, _ any) (*responses.CommonResponse, error) {
	return c.ProcessCommonRequest(request)
}

// SetReadTimeout bounds every call from now on; a request's own read time-out goes before it. Zero: 10 seconds.
func (c *Client) SetReadTimeout(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = d
}

// GetReadTimeout returns what SetReadTimeout was given.
func (c *Client) GetReadTimeout() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read
}

// SetVerify keeps the PEM text of a CA. The transfer SDK trusts its instance by it; here CAPEM in Config says whom each side trusts, and this
// has no effect.
func (c *Client) SetVerify(v string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verify = v
}

// Stats returns what was counted since the Client was made.
func (c *Client) Stats() Stats { return c.router.stats.stats() }

// SwitchSecret is that of [Transport].
func (c *Client) SwitchSecret(ctx context.Context, name string) error {
	return c.router.switchSecret(ctx, name)
}

// Close ends calls and renewals that are under way and returns when no connection is left. Calls that come after it are answered with
// ServiceUnavailableTemporary. The error is always nil.
func (c *Client) Close() error {
	c.router.close()
	return nil
}
