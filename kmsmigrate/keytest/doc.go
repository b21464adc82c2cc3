// Package keytest has keys for the tests of code that uses package kmsmigrate, and a test for code that implements its Key.
//
// [New] makes a [Key] in memory: real AES-256-GCM, the blobs of the KMS OpenAPI byte for byte, rotation, a state that can be
// changed, and counters. [TestKey] checks any implementation of kmsmigrate.Key against the rules of that interface and
// returns one error that names each rule broken.
//
//	old := keytest.New(keytest.Config{KMS1: true})
//	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: keytest.New(keytest.Config{})})
//
// Faults are wrappers around a key, so that any key can have them, and several at once: [Fail], [FailFirst], [Slow], [Hang],
// [Empty], [Truncate], [Corrupt], [Blind], and [Intercept] for the rest.
//
// Where the wire matters, signatures and time-outs included, use package kmstest, a whole cloud on loopback.
package keytest
