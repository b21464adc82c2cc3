// Package kmstest is a fake Alibaba Cloud KMS in one process: shared gateways of any number of regions and dedicated instances with both
// their faces, on loopback ports, spoken to by the unmodified official SDKs. Start makes a Cloud, Close ends it; no *testing.T is
// needed.
//
//	cloud, err := kmstest.Start(kmstest.Config{})
//	region, err := cloud.Region("cn-hangzhou")
//	key, err := region.CreateKey(kmstest.KeySpec{Alias: "alias/app"})
//	client, err := region.SDKClient()
//
// Signatures are verified, ciphertexts have the service's own layout and are really encrypted, keys have states and versions. What
// goes wrong is up to the test: see Fault. What happened is on record: see Request.
//
// Faithful means: as the documents of Alibaba Cloud and the source of its SDKs have it. What they leave open is a field of
// Config, with a default that is said to be a guess.
package kmstest
