// Package resource has what a KMS account consists of, as plain values: keys, versions, aliases, secrets, instances; and
// [ControlPlane], the operations that read and change them. Package alikms implements it over the real service; package
// plan decides what must move from it, and package execute moves it.
//
// Most programs need two calls: an alikms Gateway's ControlPlane method to get one, and [ControlPlane.Keys] to look through
// what is there:
//
//	for key, err := range control.Keys(ctx) {
//
// The words for states, specs and the like are the service's own strings and not enumerations: the service adds to them,
// and what is not known here must be carried and reported, not lost.
package resource
