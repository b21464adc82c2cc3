// Package rekey moves stored records from an old key to a new one while the application goes on reading and writing them.
//
// Two calls do most of the work. [Rekeyer.Open] decrypts a record for the application and, where the old key still wraps
// it, rewrites it afterwards in the background:
//
//	rekeyer, err := rekey.New(rekey.Config{Codec: client, Store: store})
//	plaintext, err := rekeyer.Open(ctx, rekey.Record{ID: id, Value: ciphertext, Context: ec})
//
// [Sweep] walks through a whole store and moves the records that nobody reads. [TakeCensus] counts, from headers alone,
// how many records each key still wraps, which is the evidence that [kmsmigrate.PhaseSwitch.SetProven] asks for.
//
// A [Codec] knows the format of a record; a [kmsmigrate.Client] is one, for bare ciphertext, and package envelope has
// others. A [Scanner] and a [Swapper] are how records are found and replaced; package rekeysql has them for databases,
// package rekeytest in memory.
//
// A [Place] is one definition for all of this: a table's column that applications read lazily, that is swept, rehearsed and
// counted. With a [Notebook] the fleet remembers what was done about it, and [Places] and [Proof] tell of the table that
// everybody reads and nobody has swept.
//
// # Which mode
//
// What a sweep makes of a record is for its Codec to say, and there are three ways to leave a key. Give lazy reads the
// same Codec as the sweep.
//
//   - Wrap anew: an *envelope.Envelope, or for bare ciphertext a *kmsmigrate.Client. The data key stays and is wrapped by
//     the new key; payloads are not touched. It is the cheapest, three KMS calls for all records of a data key, and the
//     right one unless there is a reason for another.
//   - Seal anew: Envelope.Reencrypting. Records get fresh data keys, for when the old key, or somebody who could use it, is
//     thought to know the data keys. All payloads are read and written. Start with it: a record that was wrapped anew
//     before counts as done.
//   - Move into a key table: an Envelope with Config.Table, and Envelope.Converting where records have other formats.
//     Records name their data key from then on, and the table wraps it. It costs what wrapping anew costs, and the next
//     migration touches the entries of the table only. These are records themselves, in a store of their own: sweep and
//     count the table as you do any other (rekeysql.Table{Name: "data_keys", Key: []string{"id"}, Value: "entry"}, with a
//     Context that returns Config.TableContext).
//     A record in the table counts as the new side's whatever its entry needs, so take the census of both.
//
// # Back again
//
// To roll a migration back, sweep with the keys exchanged: kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: new, New: old},
// and Pairs likewise. First take the whole fleet back to [kmsmigrate.ReadBoth], which writes with the old key and reads both;
// end the lazy rewriting of before, and give the sweep a Name of its own. When a census of the migration's own Codec shows
// nothing on the new side, [kmsmigrate.PhaseSwitch.SetProven] goes back to OldOnly.
//
// # How hard it works
//
// The endpoints keep the KMS's rate. Options.Fleet divides what is left between processes, Options.Steer makes a sweep as
// wide as the database bears, Load opens and shuts it, and PerSecond, Window and Pause are for people. A record that
// somebody else is writing is left alone for a while ([Contended]).
//
// # What is never done
//
// A record is never replaced by anything but a compare-and-swap on the bytes that were read: a concurrent writer wins,
// always. A rewrite that fails, is slow or finds the queue full never fails or delays a read. A record that cannot be
// opened is left as it is and reported. Outages, throttling and denied permissions say nothing of a record: a sweep waits
// for them to pass and then stops, and quarantines no record for them; only where one key of several, or the store for one
// record, fails for as long as Options.Patience while others are renewed, it goes on without those ([ReasonKeyDown], [ReasonService], [ReasonStore]).
package rekey
