// Package shim lets an application migrate that calls the official clients of Alibaba Cloud KMS, by changing one line of it.
//
// A [Transport] goes under an unmodified *kms.Client of alibaba-cloud-sdk-go. Two calls do it:
//
//	transport, err := shim.NewTransport(shim.Config{Phase: phase, Old: old, New: new, Keys: keys})
//	client.SetTransport(transport)
//
// A [Client] takes the place of the official clients altogether: it has every method of *kms.Client and of the transfer SDK's
// *KmsTransferClient, and is safe for concurrent use, which they are not. NewMigratingClient makes one. Packages kms and transfer/sdk have it
// under the originals' names, with their constructors: there the import path is the whole change, and a migration file, [Migration],
// says the rest.
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
//	AsymmetricSign                                the side that Config.Signing writes, once the new public key is published
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
// take over when the migration is done (TestWhatTheShimWroteIsReadWithoutIt). Nothing is added to what is stored, and answers are the official
// client's wherever that can give one (TestAnswersAreTheOfficialClients). These faults of the originals are not repeated:
//
//   - A CiphertextBlob that is too short is an InvalidParameter, not a panic (TestAShortBlobIsAnErrorAndNotAPanic).
//   - A data key of an instance is made in one call, and is not lost when the key rotates in between (TestADataKeyOutlivesARotationInBetween).
//   - An error has a code in any case: the transfer SDK's can be empty, and a code that is a number makes the plain SDK panic
//     (TestErrorsOfAnInstanceHaveACode, TestFailuresAreTheSDKsErrors).
//   - Plaintext that is not text is an UnsupportedOperation, not other bytes with no error (TestBytesThatAreNoTextAreNotChanged).
//   - DryRun at an instance is an UnsupportedOperation, not an encryption in earnest (TestADryRunDoesNothing).
//   - A request object that is used again for another endpoint goes where the shim sends it, not where it went before, and fields that were emptied
//     are not sent (TestARequestIsNotSticky).
//   - The asynchronous forms go where the plain ones go, need no EnableAsync, and answer after Shutdown, too; the transfer SDK's bypass the
//     instance (TestAsynchronousFormsAlwaysAnswer, TestEveryFormGoesToTheInstance).
//   - Errors of the connection are a ServiceUnavailableTemporary that quotes nothing; the SDK's hold the URL, and so the plaintext
//     (TestFailuresAreTheSDKsErrors).
//   - An answer with status 200 and no content is an InternalFailure, not an empty plaintext with no error (TestFailuresAreTheSDKsErrors).
//   - Calls are https, and throttling, 5xx and lost connections are repeated within the call's time, as package alikms does it.
//
// # What the application has to know
//
// KeyId and KeyVersionId of an answer are those of the key that did the work. An application that compares version ids must stop doing so
// before the migration, as Alibaba's migration guide says; Config.AnswerOldIDs helps until then, and Stats counts how often it had to
// (TestAnswersCanCarryTheOldIds).
//
// A signature that neither a retained public key nor a side that is still asked can judge is an error, never an invalid one.
package shim
