package shim

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	gcsutil "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util"
	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// gcsCall is one operation on its way through an Instance.
type gcsCall struct {
	action   string
	request  proto.Message
	header   map[string]string // sent along
	attempts int               // zero: as many as the side's Limits have
	trust    trust             // of the runtime options
}

// named returns a copy that names another key.
func (c gcsCall) named(key string) gcsCall {
	c.request = proto.Clone(c.request)
	setText(c.request, "KeyId", key)
	return c
}

// gcsAnswer is what an operation of an Instance returned.
type gcsAnswer struct {
	message proto.Message
	header  func(name string) string // nil for an answer of the shim's own
	side    kmsmigrate.Side          // unknown for one of the shim's own
	stale   bool
}

func (a gcsAnswer) text(name protoreflect.Name) string { return textOf(a.message, name) }

// version is the key version that did the work, as far as the answer says.
func (a gcsAnswer) version() string {
	if v := a.text("KeyVersionId"); v != "" || a.header == nil {
		return v
	}
	return a.header(versionHeader)
}

const (
	versionHeader = "x-kms-migrationkeyversionid"
	sideHeader    = "x-keyhaul-side"
	staleHeader   = "x-keyhaul-stale"
)

func textOf(m proto.Message, name protoreflect.Name) string {
	field := m.ProtoReflect().Descriptor().Fields().ByName(name)
	if field == nil || field.Kind() != protoreflect.StringKind {
		return ""
	}
	return m.ProtoReflect().Get(field).String()
}

func setBytes(m proto.Message, name protoreflect.Name, value []byte) {
	if field := m.ProtoReflect().Descriptor().Fields().ByName(name); field != nil && field.Kind() == protoreflect.BytesKind && len(value) > 0 {
		m.ProtoReflect().Set(field, protoreflect.ValueOfBytes(value))
	}
}

func setText(m proto.Message, name protoreflect.Name, value string) {
	if field := m.ProtoReflect().Descriptor().Fields().ByName(name); field != nil && field.Kind() == protoreflect.StringKind {
		m.ProtoReflect().Set(field, protoreflect.ValueOfString(value))
	}
}

func bytesOf(m proto.Message, name protoreflect.Name) []byte {
	field := m.ProtoReflect().Descriptor().Fields().ByName(name)
	if field == nil || field.Kind() != protoreflect.BytesKind {
		return nil
	}
	return m.ProtoReflect().Get(field).Bytes()
}

// messages returns an empty request and an empty answer of an operation, or nil for one that the SDK does not know.
func messages(action string) (request, answer proto.Message) {
	switch action {
	case "Encrypt":
		return &api.EncryptRequest{}, &api.EncryptResponse{}
	case "Decrypt":
		return &api.DecryptRequest{}, &api.DecryptResponse{}
	case "GenerateDataKey":
		return &api.GenerateDataKeyRequest{}, &api.GenerateDataKeyResponse{}
	case "GenerateDataKeyPair":
		return &api.GenerateDataKeyPairRequest{}, &api.GenerateDataKeyPairResponse{}
	case "GenerateDataKeyPairWithoutPlaintext":
		return &api.GenerateDataKeyPairWithoutPlaintextRequest{}, &api.GenerateDataKeyPairWithoutPlaintextResponse{}
	case "AdvanceEncrypt":
		return &api.AdvanceEncryptRequest{}, &api.AdvanceEncryptResponse{}
	case "AdvanceDecrypt":
		return &api.AdvanceDecryptRequest{}, &api.AdvanceDecryptResponse{}
	case "AdvanceGenerateDataKey":
		return &api.AdvanceGenerateDataKeyRequest{}, &api.AdvanceGenerateDataKeyResponse{}
	case "AdvanceGenerateDataKeyPair":
		return &api.AdvanceGenerateDataKeyPairRequest{}, &api.AdvanceGenerateDataKeyPairResponse{}
	case "AdvanceGenerateDataKeyPairWithoutPlaintext":
		return &api.AdvanceGenerateDataKeyPairWithoutPlaintextRequest{}, &api.AdvanceGenerateDataKeyPairWithoutPlaintextResponse{}
	case "Sign":
		return &api.SignRequest{}, &api.SignResponse{}
	case "Verify":
		return &api.VerifyRequest{}, &api.VerifyResponse{}
	case "GetPublicKey":
		return &api.GetPublicKeyRequest{}, &api.GetPublicKeyResponse{}
	case "GenerateRandom":
		return &api.GenerateRandomRequest{}, &api.GenerateRandomResponse{}
	case "GetSecretValue":
		return &api.GetSecretValueRequest{}, &api.GetSecretValueResponse{}
	default:
		return nil, nil
	}
}

// run carries out an operation with the SDK's own types: request is its request, a pointer to a struct, and Response its response.
func run[Response any](i *Instance, action string, request any, runtime *gcsutil.RuntimeOptions) (*Response, error) {
	c := gcsCall{action: action}
	given := reflect.ValueOf(request)
	if given.IsNil() {
		return nil, failedCall(http.StatusBadRequest, "MissingParameter", "The request is nil.")
	}
	c.request, _ = messages(action)
	header := fillMessage(c.request, given.Elem())
	a, err := i.do(c, header, runtime)
	if err != nil {
		return nil, err
	}
	response := new(Response)
	fillResponse(reflect.ValueOf(response).Elem(), a.message)
	headers := reflect.ValueOf(response).Elem().FieldByName("Headers")
	headers.Set(reflect.ValueOf(a.headers(runtime)))
	return response, nil
}

// do carries out an operation with what the runtime options say, and makes the SDK's error of what goes wrong.
func (i *Instance) do(c gcsCall, header map[string]*string, runtime *gcsutil.RuntimeOptions) (gcsAnswer, error) {
	r := i.route.Load()
	if r == nil {
		return gcsAnswer{}, failedCall(http.StatusBadRequest, "MissingParameter", "The client was not made by NewInstance, NewMigratingInstance or Init.")
	}
	if runtime == nil {
		runtime = &gcsutil.RuntimeOptions{}
	}
	c.header = map[string]string{}
	for name, value := range header {
		if value != nil {
			c.header[strings.ToLower(name)] = *value
		}
	}
	c.trust = trust{tea.StringValue(runtime.Verify), tea.BoolValue(runtime.IgnoreSSL)}
	if runtime.Autoretry != nil && !*runtime.Autoretry {
		c.attempts = 1
	} else if runtime.MaxAttempts != nil {
		c.attempts = 1 + max(0, *runtime.MaxAttempts) // the original counts what follows the first
	}
	ctx := context.Background()
	if ms := tea.IntValue(runtime.ReadTimeout); ms > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(ms)*time.Millisecond)
		defer cancel()
	}
	a, err := r.do(ctx, c)
	if err != nil {
		return gcsAnswer{}, asGCSError(err)
	}
	return a, nil
}

// DoRequest carries out the operation apiName, whose request message is given as it goes over the wire, and returns the answer's under bodyBytes,
// in base64, and its headers under responseHeaders. Version, protocol, method and signature are what the instance API has.
func (i *Instance) DoRequest(apiName, _, _, _, _ *string, reqBodyBytes []byte, runtime *gcsutil.RuntimeOptions, requestHeaders map[string]*string) (map[string]any, error) {
	c := gcsCall{action: tea.StringValue(apiName)}
	if c.request, _ = messages(c.action); c.request == nil {
		return nil, failedCall(http.StatusBadRequest, "InvalidApiName", "The ApiName is invalid: the shim answers for the operations that the instance SDK has.")
	}
	if proto.Unmarshal(reqBodyBytes, c.request) != nil {
		return nil, failedCall(http.StatusBadRequest, "InvalidParam", "The request body is not the protobuf message of this operation.")
	}
	a, err := i.do(c, requestHeaders, runtime)
	if err != nil {
		return nil, err
	}
	body, err := proto.Marshal(a.message)
	if err != nil {
		return nil, failedCall(http.StatusInternalServerError, "InternalFailure", "The answer cannot be encoded.")
	}
	headers := map[string]any{}
	for name, value := range a.headers(runtime) {
		headers[name] = *value
	}
	return map[string]any{"bodyBytes": base64.StdEncoding.EncodeToString(body), "responseHeaders": headers}, nil
}

// headers are those of a response.
func (a gcsAnswer) headers(runtime *gcsutil.RuntimeOptions) map[string]*string {
	side := "local"
	if a.side != kmsmigrate.SideUnknown {
		side = a.side.String()
	}
	out := map[string]*string{sideHeader: &side}
	if a.stale {
		out[staleHeader] = tea.String("true")
	}
	if runtime == nil || a.header == nil {
		return out
	}
	for _, name := range runtime.Headers {
		if value := a.header(tea.StringValue(name)); value != "" {
			out[strings.ToLower(*name)] = &value
		}
	}
	return out
}

// fillMessage copies the fields of an SDK's request into the message of the same fields, and returns the request's headers.
func fillMessage(m proto.Message, from reflect.Value) (headers map[string]*string) {
	fields := m.ProtoReflect().Descriptor().Fields()
	for n := range from.NumField() {
		field := fields.ByName(protoreflect.Name(from.Type().Field(n).Name))
		switch value := from.Field(n).Interface().(type) {
		case map[string]*string:
			headers = value
		case []byte:
			m.ProtoReflect().Set(field, protoreflect.ValueOfBytes(value))
		case *string:
			m.ProtoReflect().Set(field, protoreflect.ValueOfString(tea.StringValue(value)))
		case *int32:
			m.ProtoReflect().Set(field, protoreflect.ValueOfInt32(tea.Int32Value(value)))
		case *bool:
			m.ProtoReflect().Set(field, protoreflect.ValueOfBool(tea.BoolValue(value)))
		}
	}
	return headers
}

// fillResponse copies the fields of a message into the SDK's response of the same fields. As in the SDK's, no field of text is nil.
func fillResponse(to reflect.Value, m proto.Message) {
	fields := m.ProtoReflect().Descriptor().Fields()
	for n := range to.NumField() {
		field := fields.ByName(protoreflect.Name(to.Type().Field(n).Name))
		if field == nil {
			continue
		}
		value := m.ProtoReflect().Get(field)
		switch into := to.Field(n).Addr().Interface().(type) {
		case *[]byte:
			*into = value.Bytes()
		case **string:
			*into = tea.String(value.String())
		case **bool:
			*into = tea.Bool(value.Bool())
		case *[]*string:
			for k := range value.List().Len() {
				*into = append(*into, tea.String(value.List().Get(k).String()))
			}
		}
	}
}

// sideError is a call that a side refused or did not answer.
type sideError struct {
	side kmsmigrate.Side
	err  error // a *kmsmigrate.Error
}

func (e *sideError) Error() string { return e.err.Error() }
func (e *sideError) Unwrap() error { return e.err }

// failedCall is an error of the shim's own, in the form of the service's.
func failedCall(status int, code, message string) error {
	return callError(status, code, message, requestID())
}

func callError(status int, code, message, id string) *tea.SDKError {
	return tea.NewSDKError(map[string]any{
		"code": code, "message": message, "data": map[string]any{"httpCode": status, "requestId": id, "hostId": nil},
	})
}

// asGCSError makes the SDK's error of any error.
func asGCSError(err error) error {
	var of *sideError
	if errors.As(err, &of) {
		a := refused(of.side, of.err)
		return callError(a.status, a.text("Code"), a.text("Message"), a.text("RequestId"))
	}
	return err // it was made by failedCall
}

// gcsCode is the code that the SDK's error of err has.
func gcsCode(err error) string {
	var typed *tea.SDKError
	errors.As(asGCSError(err), &typed)
	return tea.StringValue(typed.Code)
}
