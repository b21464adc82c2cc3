package kmsmigrate

import (
	"context"
	"errors"
)

// VersionLister is an optional part of a [Key]: one that can ask its service which versions the key has. It changes what
// Owns can tell, and so the number of calls, never what opens.
type VersionLister interface {
	// Refresh asks for the key's versions, so that Owns knows them all. It wraps ErrDenied where permission to list is
	// missing, and ErrInvalid where there is nobody to ask, as at a KMS instance, which does not know the operation.
	Refresh(ctx context.Context) error
}

// Refresh has every key that can list its versions do so. Before a census it turns ids that nobody knows into ids that a
// key owns; before a sweep it saves the trials. Nothing else needs it: an application's keys learn as they decrypt.
//
// A key that may not or cannot list stays as it is, which is no error. Errors are [*Error]s, joined, one for each key that
// failed otherwise.
func (c *Client) Refresh(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &Error{Op: "refresh", Err: err}
	}
	var failed []error
	for _, k := range c.keys {
		lister, ok := k.key.(VersionLister)
		if !ok {
			continue
		}
		if err := lister.Refresh(ctx); err != nil && !errors.Is(err, ErrDenied) && !errors.Is(err, ErrInvalid) {
			failed = append(failed, sideError("refresh", k.side, KeyRef{}, err))
		}
	}
	return errors.Join(failed...)
}
