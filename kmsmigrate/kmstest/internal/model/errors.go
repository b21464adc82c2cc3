package model

import (
	"fmt"
	"net/http"
)

// Error is an answer of the service that is not a success: HTTP status, code and message as the KMS documents give them.
// Every face writes it in its own format.
type Error struct {
	Status  int
	Code    string
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// The codes below are those of the KMS API reference. Beware of their names: what is not found is "Forbidden.…" with status 404.

func MissingParameter(name string) *Error {
	return &Error{http.StatusBadRequest, "MissingParameter", fmt.Sprintf("The parameter %q is needed but not provided.", name)}
}

func InvalidParameter(name string) *Error {
	return &Error{http.StatusBadRequest, "InvalidParameter", fmt.Sprintf("The specified parameter %q is not valid.", name)}
}

func Unsupported() *Error {
	return &Error{http.StatusBadRequest, "UnsupportedOperation", "This action is not supported."}
}

func OnlySymmetric(keyID string) *Error {
	return &Error{http.StatusNotFound, "Forbidden.OnlySymmetricKeySupported",
		fmt.Sprintf("The key %s is not a symmetric key.", keyID)}
}

func NoPermission() *Error {
	return &Error{http.StatusForbidden, "Forbidden.NoPermission", "This operation is forbidden by permission system."}
}

func KeyNotFound() *Error {
	return &Error{http.StatusNotFound, "Forbidden.KeyNotFound", "The specified Key is not found."}
}

func KeyVersionNotFound() *Error {
	return &Error{http.StatusNotFound, "Forbidden.KeyVersionNotFound", "The specified key version is not found."}
}

func AliasNotFound() *Error {
	return &Error{http.StatusNotFound, "Forbidden.AliasNotFound", "The specified Alias is not found."}
}

func ResourceNotFound() *Error {
	return &Error{http.StatusNotFound, "Forbidden.ResourceNotFound", "Resource not found."}
}

func InstanceNotFound() *Error {
	return &Error{http.StatusNotFound, "Forbidden.DKMSInstanceNotFound", "The specified DKMS Instance is not found."}
}

func AliasExists() *Error {
	return &Error{http.StatusBadRequest, "AliasAlreadyExists", "The specified alias already exists."}
}

func LimitExceeded() *Error {
	return &Error{http.StatusBadRequest, "Rejected.LimitExceeded", "The request was rejected because the quota was exceeded."}
}

func rejected(reason, message string) *Error {
	return &Error{http.StatusConflict, "Rejected." + reason, message}
}

func stateRejected(s State) *Error {
	return rejected(string(s), fmt.Sprintf("The request was rejected because the key state is %s.", s))
}

func StateModifiedFailed() *Error {
	return rejected("StateModifiedFailed", "The request was rejected because the key state does not allow this operation.")
}

func Throttled() *Error {
	return &Error{http.StatusTooManyRequests, "Rejected.Throttling", "QPS Limit Exceeded"}
}

func Internal() *Error {
	return &Error{http.StatusInternalServerError, "InternalFailure", "Internal Failure"}
}

func ServiceUnavailable() *Error {
	return &Error{http.StatusServiceUnavailable, "ServiceUnavailableTemporary", "Service is temporarily unavailable."}
}
