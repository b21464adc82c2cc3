package shim

// IsStale reports whether the answer of a Decrypt is marked: its ciphertext is still the old side's, in phase Rewrite. It takes the response of an
// official client over a Transport, and of a Client. Whoever knows which record the ciphertext came from hands that to a rekey.Rekeyer:
//
//	if shim.IsStale(opened) {
//		rekeyer.Enqueue(rekey.Record{ID: id, Value: []byte(blob), Context: context})
//	}
//
// Then Config.OnStale is not needed: the Rekeyer makes the new ciphertext, proves it and swaps it.
func IsStale(response interface{ GetHttpHeaders() map[string][]string }) bool {
	marks := response.GetHttpHeaders()["X-Keyhaul-Stale"]
	return len(marks) > 0 && marks[0] == "true"
}
