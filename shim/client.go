package shim

import (
	"context"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth/credentials"
	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/requests"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/responses"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"

	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/shim/internal/official"
)

//go:generate go run ./internal/generate
//go:generate go run ./internal/generatenames

// Client has every method of *kms.Client and of the transfer SDK's *KmsTransferClient, and routes the calls as a [Transport] does. Make it
// with NewMigratingClient; an application that takes its client as an interface, or whose variable changes its type to *shim.Client,
// needs no other change. One in which shim/kms or shim/transfer/sdk takes the place of the SDK's import path has one under the SDK's names.
//
// Unlike the originals it is safe for concurrent use, does not write to the requests that it is given, and its asynchronous forms need
// no EnableAsync, go where the plain forms go, and always answer.
type Client struct {
	router    atomic.Pointer[router]
	opening   sync.Mutex
	configure func(domain string) (Config, error) // makes the router's config at the first call; nil where the router is there
	closed    bool
	tasks     chan struct{} // asynchronous calls at once

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
	at := cfg.Old
	if at.Region == "" {
		at = cfg.New
	}
	made, err := official.New(at.Region, sdk.NewConfig().WithScheme("HTTPS"), credential(at))
	if err != nil {
		r.close()
		return nil, invalid("%w", err)
	}
	made.Domain = at.Endpoint
	c := &Client{official: made, tasks: make(chan struct{}, asynchronous)}
	c.router.Store(r)
	return c, nil
}

// NewDeferredClient makes a Client that asks for its config at the first call: applications set an endpoint, a CA and more after the SDKs'
// constructors. It is what packages shim/kms and shim/transfer/sdk are made of. made is the official client whose settings it has;
// domain is what the first request names as its endpoint, or empty. A config that is refused is the error of that call, and is asked for again by the next.
func NewDeferredClient(made *kms.Client, configure func(domain string) (Config, error)) *Client {
	return &Client{official: made, configure: configure, tasks: make(chan struct{}, asynchronous)}
}

// open returns the router, which the first call of a deferred client makes.
func (c *Client) open(domain string) (*router, error) {
	if r := c.router.Load(); r != nil {
		return r, nil
	}
	c.opening.Lock()
	defer c.opening.Unlock()
	if r := c.router.Load(); r != nil {
		return r, nil
	}
	if c.configure == nil || c.closed {
		return nil, sdkerrors.NewClientError("SDK.InvalidParam", "The client is closed, or no constructor made it.", nil)
	}
	cfg, err := c.configure(domain)
	if err != nil {
		return nil, sdkerrors.NewClientError("SDK.InvalidParam", err.Error(), err)
	}
	r, err := newRouter(cfg)
	if err != nil {
		return nil, sdkerrors.NewClientError("SDK.InvalidParam", err.Error(), err)
	}
	c.router.Store(r)
	return r, nil
}

func credential(at alikms.GatewayConfig) auth.Credential {
	switch {
	case at.Credential != nil:
		if _, other := at.Credential.(alikms.V2Credential); other {
			return credentials.NewAccessKeyCredential("", "") // the SDK takes none of that package, and nothing is signed with it
		}
		return at.Credential
	case at.SecurityToken != "":
		return credentials.NewStsTokenCredential(at.AccessKeyID, at.AccessKeySecret, at.SecurityToken)
	default:
		return credentials.NewAccessKeyCredential(at.AccessKeyID, at.AccessKeySecret)
	}
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
	r, err := c.open(request.GetDomain())
	if err != nil {
		return err
	}
	a := r.do(ctx, action, p)
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

// SetVerify keeps the PEM text of a CA. The transfer SDK trusts its instance by it, and so does a client of shim/transfer/sdk until its first
// call; for one of NewMigratingClient, CAPEM in Config says whom each side trusts.
func (c *Client) SetVerify(v string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.verify = v
}

// GetVerify returns what SetVerify was given.
func (c *Client) GetVerify() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.verify
}

// Stats returns what was counted since the first call.
func (c *Client) Stats() Stats {
	if r := c.router.Load(); r != nil {
		return r.stats.stats()
	}
	return Stats{}
}

// SwitchSecret is that of [Transport].
func (c *Client) SwitchSecret(ctx context.Context, name string) error {
	r, err := c.open("")
	if err != nil {
		return err
	}
	return r.switchSecret(ctx, name)
}

// Close ends calls and renewals that are under way and returns when no connection is left. Calls that come after it are answered with
// ServiceUnavailableTemporary. The error is always nil.
func (c *Client) Close() error {
	c.opening.Lock()
	defer c.opening.Unlock()
	c.closed = true
	if r := c.router.Load(); r != nil {
		r.close()
	}
	return nil
}
