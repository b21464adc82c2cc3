package shim

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/alibabacloud-go/tea/tea"
	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// refused makes the answer of a call that failed. It has a code in any case: a load balancer's page has none, and a code that is a number
// would make the official SDK panic.
func refused(which kmsmigrate.Side, err error) *answer {
	var e *kmsmigrate.Error
	if !errors.As(err, &e) {
		return failed(http.StatusInternalServerError, "InternalFailure", fmt.Sprintf("The call to the %s side failed.", which))
	}
	if e.HTTPStatus == 0 || errors.Is(e, kmsmigrate.ErrBadAnswer) {
		return unanswered(which, e)
	}
	code, id := e.Code, e.RequestID
	if strings.Trim(code, "0123456789") == "" {
		code = codeOf(e.HTTPStatus)
	}
	if id == "" {
		id = requestID()
	}
	message := messageOf(e)
	switch {
	case strings.Contains(code, "Signature") || strings.HasPrefix(code, "InvalidAccessKeyId"):
		message = fmt.Sprintf("The access key that the shim has for the %s side is not accepted.", which)
	case message == "":
		message = fmt.Sprintf("The %s side answered with HTTP status %d, and its words are not repeated here.", which, e.HTTPStatus)
	}
	a := failedAs(e.HTTPStatus, code, message, id)
	a.side = which.String()
	return a
}

// unanswered is for calls that no answer came to, or none that can be right. The texts of package alikms quote nothing.
func unanswered(which kmsmigrate.Side, e *kmsmigrate.Error) *answer {
	status, code, did := http.StatusServiceUnavailable, "ServiceUnavailableTemporary", "did not answer"
	switch {
	case errors.Is(e, kmsmigrate.ErrBadAnswer):
		status, code, did = http.StatusInternalServerError, "InternalFailure", "answered, and not as a KMS does"
	case errors.Is(e, kmsmigrate.ErrThrottled):
		status, code, did = http.StatusTooManyRequests, "Rejected.Throttling", "was not asked"
	case errors.Is(e, kmsmigrate.ErrDenied):
		status, code, did = http.StatusForbidden, "Forbidden.NoPermission", "was not asked"
	case errors.Is(e, kmsmigrate.ErrInvalid):
		status, code, did = http.StatusBadRequest, "InvalidParameter", "was not asked"
	}
	return failed(status, code, fmt.Sprintf("The %s side %s: %v.", which, did, e.Err))
}

// messageOf is what the service said, as far as package alikms holds it to be safe.
func messageOf(e *kmsmigrate.Error) string {
	var server *sdkerrors.ServerError
	var instance *tea.SDKError
	switch {
	case errors.As(e, &server):
		return server.Message()
	case errors.As(e, &instance):
		return tea.StringValue(instance.Message)
	default:
		return ""
	}
}

// codeOf is the code that goes with a status.
func codeOf(status int) string {
	switch {
	case status == http.StatusTooManyRequests:
		return "Rejected.Throttling"
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return "Forbidden.NoPermission"
	case status > http.StatusInternalServerError:
		return "ServiceUnavailableTemporary"
	case status == http.StatusRequestEntityTooLarge:
		return "InvalidParameter"
	default:
		return "InternalFailure"
	}
}
