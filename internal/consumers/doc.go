// Package consumers has programs of others that hold a concrete *kms.Client, run over a shim.Transport: nothing of theirs is changed but for
// one SetTransport. It is a module of its own because of what they import.
package consumers
