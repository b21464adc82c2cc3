// Package envelope seals records with data keys that a KMS key wraps, and moves them to another KMS key without touching
// their payload.
//
// Two calls do most of the work: [New] makes an Envelope over a kmsmigrate.Client, and [Envelope.Open] opens whatever either
// side's key has wrapped:
//
//	e, err := envelope.New(envelope.Config{Keys: client})
//	opened, err := e.Open(ctx, record, ec)
//
// [Envelope.Seal] writes a record with the key that the phase asks for. [Envelope.Renew] turns a record of the old key into
// one of the new, for package rekey or anyone else to store. [Envelope.Inspect] tells from its header whose a record is.
//
// # Formats
//
// The own format is in FORMAT.md, byte by byte. A [Layout] is a format that people already have: what it reads it also
// renews, in its own format, so that readers who know nothing of this package still open the result, given the new key.
// LAYOUTS.md has the proof of that for each, what a format cannot notice, and how defects of older software are read.
//
// # Moving payloads too
//
// Renew leaves payloads alone. [Envelope.Reencrypting] and [Envelope.Converting] return codecs for package rekey that seal them
// anew: the first gives the old side's records fresh data keys, the second moves records of other formats into the one that
// Seal writes, and with a [KeyTable] into records that share data keys in a table. The migration after that one renews the table and touches no
// record.
//
// # Where data keys come from
//
// From this process's random numbers, and the KMS wraps them; with Config.Generate from the service's GenerateDataKey. What the service
// says is wrapped is believed unless Config.Prove has each fresh data key unwrapped once: a service that answered with a
// ciphertext which it cannot open would be found out by the first reader who is not the writer. The proof costs one call for each
// data key, which is little where records share them and as much as the wrapping itself where they do not; so it is a
// setting, and always on where most is at stake, for data keys of a Table, copies for the other side, and everything that replaces a record.
//
// # Data keys in memory
//
// Unwrapped data keys are kept for a minute (Config.MaxAge). One call to the KMS serves all who ask for one data key at
// the same time, and those who come within that minute. A caller whose context ends fails alone. Errors are not kept.
// A KMS key that was disabled goes on opening records from memory until its data keys have aged out, or [Envelope.Flush]. In
// phase NewOnly what the old side unwrapped is not used, in memory or not; what a Client's Ledger led to is used there
// and nowhere else.
//
// Byte copies of data keys are overwritten when they leave the cache and their last user is done. Go's cipher objects hold
// key schedules that cannot be overwritten: for AES-GCM 60 words of 4 bytes of round keys and the hash key, from which the
// data key can be told. They stay in memory until the garbage collector has freed and something else has used it. So do buffers of the
// HTTP and TLS stack through which a plaintext data key came from the service.
//
// Seal uses one data key for many records of one encryption context, within Config's bounds; Config.FreshKeys makes one for
// each. An application that gives every record a context of its own (a row's id) gets a data key for each, too: keep
// contexts coarse (a table, a tenant) where the number of KMS calls matters.
//
// # Several wrapped copies
//
// A record with copies for both sides counts as new. Whether the new side's copy is right shows when it is opened: one that
// is damaged, or holds another data key, makes Open go on to the old side's and say that the record is stale, and Renew
// replaces it. A census reads headers and cannot see it.
package envelope
