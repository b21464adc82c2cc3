// Package keyhaul is the root of a library that moves an application's encrypted data from an old Alibaba Cloud KMS key to
// a new one while the application runs. It holds no code: the doors are the packages below it.
//
//   - kmsmigrate: a client that reads with the old key and the new one and writes with the one that the phase asks for
//   - kmsmigrate/alikms: Alibaba's endpoints as keys for it
//   - kmsmigrate/kmstest: a fake Alibaba KMS for tests, on loopback, that the official SDKs talk to
//   - kmsmigrate/keytest: keys in memory, faults, and a test for who writes a key
//   - envelope: records sealed with a data key that a KMS key wraps, in our format and in those that people have
//   - rekey: re-encryption as records are read, a sweep for the rest, and a census that tells what is left
//   - rekey/rekeysql: MySQL, PostgreSQL and SQLite as stores for it
//
// Start with the README and go run ./examples/quickstart.
package keyhaul
