// Package shim lets an application migrate that calls the official clients of Alibaba Cloud KMS, by changing one line of it.
//
// A [Transport] goes under an unmodified *kms.Client of alibaba-cloud-sdk-go. Two calls do it:
//
//	transport, err := shim.NewTransport(shim.Config{Phase: phase, Old: old, New: new, Keys: keys})
//	client.SetTransport(transport)
//
// A [Client] takes the place of the official clients altogether: it has every method of *kms.Client and of the transfer SDK's
// *KmsTransferClient, and is safe for concurrent use, which they are not. NewMigratingClient makes one.
//
// An [Instance] takes the place of the instance SDK's client, for applications that call a KMS instance with a ClientKey: NewMigratingInstance
// makes one, and package gcs/client has it under the original's names. Its documentation says what goes where.
//
// A [Handler] does the same for applications in other languages: they point their SDK at a socket or a loopback address where it listens.
//
// # Where calls go
//
//	operation                                    goes to
//	Encrypt, GenerateDataKey…, AsymmetricEncrypt  the side that the phase writes, with the key that Keys names there
//	Decrypt, ExportDataKey                        the side that the key version in the blob belongs to; where nobody knows, the sides are tried
//	ReEncrypt                                     the service where one gateway has both keys; otherwise a Decrypt and an Encrypt
//	AsymmetricSign                                the side that Config.Signing writes
//	AsymmetricVerify, GetPublicKey                nobody where the public key is retained, else the side that owns the key
//	AsymmetricDecrypt                             the side that owns the key; the new key of an old one where that does not open it
//	GetSecretValue and all else on a secret       the old side until Config.Secrets has the secret switched, or the phase is NewOnly
//	all else that names a key or an alias         the side that owns it
//	the rest                                      the old side, or Config.Others
//
// Only an answer that means "not mine" leads from one side to the other; throttling, time-outs and disabled keys never do. In phase
// OldOnly every call goes to the old side as it is, so shipping the shim changes nothing.
//
// # What comes back
//
// Blobs, plaintext, error codes and types are those of the official SDK, so that the plain SDK, with the new side's endpoint and key, can
// take over when the migration is done. Nothing is added to what is stored. These faults of the originals are not repeated:
//
//   - An answer with status 200 and no content is an InternalFailure, not an empty plaintext with no error.
//   - An error whose code is a number, is in XML or is a load balancer's page has a code; the SDK would panic, or have none.
//   - Errors of the connection are a ServiceUnavailableTemporary that quotes nothing; the SDK's hold the URL, and so the plaintext.
//   - A request object that is used again for another endpoint goes where the shim sends it, not where it went before.
//   - The asynchronous forms go where the plain ones go; the transfer SDK's bypass the instance.
//
// # What the application has to know
//
// KeyId and KeyVersionId of an answer are those of the key that did the work. An application that compares version ids must stop doing so
// before the migration, as Alibaba's migration guide says; Config.AnswerOldIDs helps until then.
package shim
