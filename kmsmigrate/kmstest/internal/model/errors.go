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

// MissingParameter answers a request without a parameter that it must have.
func MissingParameter(name string) *Error {
	return &Error{http.StatusBadRequest, "MissingParameter", fmt.Sprintf("The parameter %q is needed but not provided.", name)}
}

// InvalidParameter answers a parameter with a value that cannot be.
func InvalidParameter(name string) *Error {
	return &Error{http.StatusBadRequest, "InvalidParameter", fmt.Sprintf("The specified parameter %q is not valid.", name)}
}

// Unsupported answers what a key, an instance or a gateway cannot do.
func Unsupported() *Error {
	return &Error{http.StatusBadRequest, "UnsupportedOperation", "This action is not supported."}
}

// OnlySymmetric answers an asymmetric key given to Advance* or to a data-key operation of an instance.
func OnlySymmetric(keyID string) *Error {
	return &Error{http.StatusNotFound, "Forbidden.OnlySymmetricKeySupported",
		fmt.Sprintf("The key %s is not a symmetric key.", keyID)}
}

// NoPermission answers what belongs to another account.
func NoPermission() *Error {
	return &Error{http.StatusForbidden, "Forbidden.NoPermission", "This operation is forbidden by permission system."}
}

// KeyNotFound answers a key that is not here.
func KeyNotFound() *Error {
	return &Error{http.StatusNotFound, "Forbidden.KeyNotFound", "The specified Key is not found."}
}

// KeyVersionNotFound answers a version that is none of the key's.
func KeyVersionNotFound() *Error {
	return &Error{http.StatusNotFound, "Forbidden.KeyVersionNotFound", "The specified key version is not found."}
}

// AliasNotFound answers an alias that is not here.
func AliasNotFound() *Error {
	return &Error{http.StatusNotFound, "Forbidden.AliasNotFound", "The specified Alias is not found."}
}

// ResourceNotFound answers a secret that is not here.
func ResourceNotFound() *Error {
	return &Error{http.StatusNotFound, "Forbidden.ResourceNotFound", "Resource not found."}
}

// InstanceNotFound answers an instance that is not here.
func InstanceNotFound() *Error {
	return &Error{http.StatusNotFound, "Forbidden.DKMSInstanceNotFound", "The specified DKMS Instance is not found."}
}

// AliasExists answers the creation of an alias that exists.
func AliasExists() *Error {
	return &Error{http.StatusBadRequest, "AliasAlreadyExists", "The specified alias already exists."}
}

// LimitExceeded answers what a quota of things, not of requests, forbids.
func LimitExceeded() *Error {
	return &Error{http.StatusBadRequest, "Rejected.LimitExceeded", "The request was rejected because the quota was exceeded."}
}

func rejected(reason, message string) *Error {
	return &Error{http.StatusConflict, "Rejected." + reason, message}
}

func stateRejected(s State) *Error {
	return rejected(string(s), fmt.Sprintf("The request was rejected because the key state is %s.", s))
}

// StateModifiedFailed answers a change of state that the state does not allow.
func StateModifiedFailed() *Error {
	return rejected("StateModifiedFailed", "The request was rejected because the key state does not allow this operation.")
}

// Throttled answers a request over the quota.
func Throttled() *Error {
	return &Error{http.StatusTooManyRequests, "Rejected.Throttling", "QPS Limit Exceeded"}
}

// Internal answers what went wrong inside.
func Internal() *Error {
	return &Error{http.StatusInternalServerError, "InternalFailure", "Internal Failure"}
}

// ServiceUnavailable answers while the service is down for a moment.
func ServiceUnavailable() *Error {
	return &Error{http.StatusServiceUnavailable, "ServiceUnavailableTemporary", "Service is temporarily unavailable."}
}
