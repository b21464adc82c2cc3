// Package bench compares envelope with others who seal records, and has the original software open what envelope's layouts
// wrote and re-wrapped. It is a module of its own, so that nobody else downloads its peers.
//
// # A run
//
// Time and allocations of one operation: the least of 65 runs, for aws-esdk of 40, of go test -bench . -benchtime 3ms on two cores
// of a virtual machine that others were using, Go 1.26: a few percent are noise. A machine of your own gives other numbers.
//
// The floor is a hand-written envelope with the same binding and commitment, over the standard library. All wrap with a key
// in the process, so that no KMS is timed. With a key at hand, gcm is AES-256-GCM with a random nonce and nothing else, keyhaul has
// its data key in the cache, and tink is a local keyset. Of streams, gcm is GCM over chunks of 64 KiB, and tink has segments
// of 4 KiB or 1 MiB; keyhaul makes a key of its own for each stream from a cached data key.
//
//	seal, fresh data key                     100 B               4 KiB               1 MiB
//	  floor                         4.55 µs     33      6.23 µs     33       709 µs     33
//	  keyhaul                       2.55 µs     11      5.51 µs     11       530 µs     11
//	  tink                          2.49 µs     24      6.53 µs     24       915 µs     24
//	  go-kms-wrapping               2.36 µs     11      6.18 µs     11     1,061 µs     11
//	  aws-esdk                       132 µs   2709       148 µs   2710     7,713 µs  56093
//
//	open, fresh data key                     100 B               4 KiB               1 MiB
//	  floor                         3.41 µs     31      5.48 µs     31       810 µs     31
//	  keyhaul                       2.12 µs      9      4.86 µs      9       535 µs      9
//	  tink                          1.67 µs     13      3.98 µs     13       537 µs     13
//	  go-kms-wrapping               1.69 µs     11      5.97 µs     11     1,008 µs     11
//	  aws-esdk                       226 µs   4369       227 µs   4372     8,627 µs  62862
//
//	seal, key at hand                        100 B               4 KiB               1 MiB
//	  gcm                           0.24 µs      1      3.14 µs      1       609 µs      1
//	  keyhaul                       0.40 µs      1      3.17 µs      1       476 µs      1
//	  tink                          0.24 µs      1      2.74 µs      1       480 µs      1
//
//	open, key at hand                        100 B               4 KiB               1 MiB
//	  gcm                           0.18 µs      1      2.58 µs      1       709 µs      1
//	  keyhaul                       0.25 µs      1      2.39 µs      1       554 µs      1
//	  tink                          0.18 µs      1      2.40 µs      1       566 µs      1
//
//	seal a stream                            1 MiB              16 MiB
//	  gcm                            263 µs      2     4,462 µs      2
//	  keyhaul                        214 µs     27     3,305 µs     31
//	  tink-4KiB                      267 µs    284     4,192 µs   4139
//	  tink-1MiB                    1,230 µs     27     4,498 µs     43
//
//	open a stream                            1 MiB              16 MiB
//	  gcm                            271 µs      5     4,949 µs      5
//	  keyhaul                        274 µs     26     5,042 µs     50
//	  tink-4KiB                      289 µs    292     4,783 µs   4147
//	  tink-1MiB                    1,624 µs     35     5,079 µs     51
//
//	re-wrap in place                         100 B               1 MiB
//	  keyhaul                       6.39 µs     32      5.87 µs     32
//
// What it costs to commit to the data key shows at 100 bytes: one HKDF with a fresh data key, which tink and go-kms-wrapping do
// without; with a cached one there is none of it. A re-wrap does not read the payload.
package bench
