package model

import "github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/material"

// DefaultAlgorithm is what the instance API uses where a request leaves the algorithm of an asymmetric key out, as the instance SDK's own examples
// do ("use default algorithm value, if the value is not set"). Which one that is no document says; it is the first that the API
// reference lists. It is empty for a symmetric key, whose default is another matter, and for one that is not there.
func (d Door) DefaultAlgorithm(ref, usage string) string {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	k, err := d.key(ref)
	if err != nil || k.Usage != usage {
		return ""
	}
	algorithms := material.EncryptionAlgorithms(k.Spec)
	if usage == SignVerify {
		algorithms = material.SignatureAlgorithms(k.Spec)
	}
	if len(algorithms) == 0 {
		return ""
	}
	return algorithms[0]
}
