// Package kmsmigrate reads data that an old Alibaba Cloud KMS key encrypted, writes with a new key, and moves what is left
// from the one to the other while the application runs.
//
// Two calls do most of the work: [NewClient] joins an old and a new [Key] under a [Phase], and [Client.Open] decrypts
// whatever either of them encrypted:
//
//	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: phase, Old: old, New: new})
//	opened, err := client.Open(ctx, ciphertext, ec)
//
// [Client.Encrypt] writes with the key that the phase asks for, [Client.Renew] turns a ciphertext of the old key into one
// of the new key, proves that the new key opens it, and leaves storing it to the caller, and [Client.Inspect] tells from
// the first bytes whose key a ciphertext needs, without a call to the KMS.
//
// A [Key] is one key at one endpoint. Package alikms makes them from Alibaba's endpoints, package keytest in memory.
// Records with an envelope of their own are the business of package envelope; rewriting stored records is that of package
// rekey. Both work through a Client.
//
// # Phases
//
// A migration goes through five phases, [OldOnly] to [NewOnly]. Processes that are at most one phase apart can run side
// by side, so a fleet is rolled one process at a time. The zero value, OldOnly, changes nothing. A [PhaseSwitch] moves a
// running process, and any number of Clients, from one phase to the next.
//
// # What is never done
//
// No error, log line or event of this package holds a plaintext, a data key, a value of an encryption context or a
// credential. Nothing here deletes or disables a key. A key that is throttled, slow, disabled or denied never sends the
// caller's work to the other key: only an answer that says "not mine" ([ErrForeign]) does, so that an outage of one side
// cannot become a stampede on the other.
package kmsmigrate
