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
//
// # Data keys in memory
//
// Unwrapped data keys are kept for a minute (Config.MaxAge). One call to the KMS serves all who ask for one data key at
// the same time, and those who come within that minute. A caller whose context ends fails alone. Errors are not kept.
// A KMS key that was disabled goes on opening records from memory until its data keys have aged out, or [Envelope.Flush]. In
// phase NewOnly what the old side unwrapped is not used, in memory or not.
//
// Byte copies of data keys are overwritten when they leave the cache and their last user is done. Go's cipher objects hold
// key schedules that cannot be overwritten; they stay in memory until it is reused.
//
// Seal uses one data key for many records of one encryption context, within Config's bounds; Config.FreshKeys makes one for
// each. An application that gives every record a context of its own (a row's id) gets a data key for each, too: keep
// contexts coarse (a table, a tenant) where the number of KMS calls matters.
package envelope
