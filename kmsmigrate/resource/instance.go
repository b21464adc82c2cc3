package resource

import "time"

// Instance is what ListKmsInstances and GetKmsInstance tell of a KMS instance. Nothing there says whether it is a
// software or a hardware instance: the protection level of its keys does.
type Instance struct {
	Region  string    `json:"region"`
	ID      string    `json:"id"` // kst-…
	ARN     string    `json:"arn,omitempty"`
	Name    string    `json:"name,omitempty"`
	Status  string    `json:"status,omitempty"`       // Uninitialized, Connecting, Connected, Disconnected, Error
	QPS     int       `json:"qps,omitempty"`          // Spec: what was bought
	Keys    int       `json:"key_quota,omitempty"`    // KeyNum: key versions that it can hold
	Secrets int       `json:"secret_quota,omitempty"` // SecretNum
	VPC     string    `json:"vpc,omitempty"`
	Zones   []string  `json:"zones,omitempty"`
	Created time.Time `json:"created,omitzero"`
	Starts  time.Time `json:"starts,omitzero"`
	Ends    time.Time `json:"ends,omitzero"` // when the subscription ends, and its keys with it
	// CA is the instance's private certificate authority, in PEM (CaCertificateChainPem).
	CA string `json:"ca,omitempty"`
}
