package resource

import "time"

// Instance is a dedicated KMS instance.
type Instance struct {
	ID          string    `json:"id"` // kst-…
	ARN         string    `json:"arn,omitempty"`
	Name        string    `json:"name,omitempty"`
	Status      string    `json:"status"`       // Uninitialized, Connecting, Connected, Disconnected or Error
	QPS         int       `json:"qps"`          // calls a second that were bought
	KeyQuota    int       `json:"key_quota"`    // every version of a key counts
	SecretQuota int       `json:"secret_quota"` // secrets that were bought
	VPCQuota    int       `json:"vpc_quota"`
	VPC         string    `json:"vpc,omitempty"`
	VSwitches   []string  `json:"vswitches,omitempty"`
	Zones       []string  `json:"zones,omitempty"`
	Bound       []VPC     `json:"bound,omitempty"` // further networks that can reach it
	Created     time.Time `json:"created,omitzero"`
	Starts      time.Time `json:"starts,omitzero"`
	Ends        time.Time `json:"ends,omitzero"` // its keys are destroyed with it
	CAPEM       string    `json:"ca_pem,omitempty"`
}

// StatusConnected is the Status of an instance that serves.
const StatusConnected = "Connected"

// VPC is a network that an instance is bound to.
type VPC struct {
	ID      string `json:"id"`
	Region  string `json:"region"`
	Owner   string `json:"owner"` // account uid
	VSwitch string `json:"vswitch"`
}
