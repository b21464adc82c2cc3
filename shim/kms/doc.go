// Package kms takes the place of github.com/aliyun/alibaba-cloud-sdk-go/services/kms in an application that is to migrate: the import path is
// the whole change.
//
//	import "github.com/keyhaul/keyhaul/shim/kms"
//
// It has every name of the original. Requests, responses and all other types are the original's, so that functions that take them go on to;
// Client is one that routes as shim.Client does, and is safe for concurrent use.
//
// # Where the migration is said
//
// A constructor says what the application uses today: the region and the credential are the old side. The rest stands in a migration file,
// shim.Migration, which the environment variable KEYHAUL_MIGRATION names. Where it is not set, constructors fail and say so.
//
// It was decided against a package variable, because two clients of one process then share it and tests cannot run side by side; against a
// default of phase old-only without a file, because a forgotten variable would keep a process on the old key, and nobody would notice
// before the key is gone (a file must say its phase for the same reason); and against reading the phase again while the process runs, because a
// step from one phase to another waits for the whole fleet: who wants that has NewMigratingClient and a kmsmigrate.PhaseSwitch.
//
// # What differs
//
// What shim.Client does right and the original wrong, and https always: the original's default is plain http. A request's own Domain counts
// where it is the first to name an endpoint; Scheme, Transport, proxies but those of the environment, and AutoRetry of sdk.Config do not.
// SetHTTPSInsecure counts until the first call, as the original's does, for the endpoints that the application names: those of the migration file are always checked.
package kms
