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
// # What is never done
//
// A record is never replaced by anything but a compare-and-swap on the bytes that were read: a concurrent writer wins,
// always. A rewrite that fails, is slow or finds the queue full never fails or delays a read. A record that cannot be
// opened is left as it is and reported. Outages, throttling and denied permissions say nothing of a record: a sweep waits
// for them to pass and then stops, and never reports a record for them.
package rekey
