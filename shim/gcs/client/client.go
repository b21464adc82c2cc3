// Package client has the names of the instance SDK's package of that name, so that an application for a KMS instance migrates by an import
// path:
//
//	import dedicatedkmssdk "github.com/keyhaul/keyhaul/shim/gcs/client" // was github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/sdk
//
// What NewClient is given is the old side. The rest stands in a migration file, shim.Migration, which the environment variable KEYHAUL_MIGRATION
// names; without one NewClient fails and says so. Who wants to say it in code, and to change the phase while the process runs, changes the
// constructor, too:
//
//	client, err := dedicatedkmssdk.NewMigratingClient(shim.InstanceConfig{Phase: phase, Old: old, New: new, Keys: keys}) // was NewClient(config)
//
// Requests and responses are the original's types, its packages openapi and
// openapi-util stay as they are, and a Client is a [shim.Instance], whose documentation says what goes where.
package client

import (
	gcsapi "github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi"

	"github.com/keyhaul/keyhaul/shim"
)

// Client has every method of the original's *Client. The fields of the original are not there: NewClient takes them, and nothing reads them.
type Client = shim.Instance

// NewClient is shim.NewInstance: the instance of config, and the migration that the environment names.
func NewClient(config *gcsapi.Config) (*Client, error) { return shim.NewInstance(config) }

// NewMigratingClient is shim.NewMigratingInstance.
func NewMigratingClient(cfg shim.InstanceConfig) (*Client, error) {
	return shim.NewMigratingInstance(cfg)
}
