// Package official makes clients of alibaba-cloud-sdk-go, one at a time: its constructors write to a table of endpoints that is a global.
package official

import (
	"errors"
	"sync"

	"github.com/aliyun/alibaba-cloud-sdk-go/sdk"
	"github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
)

// oneAtATime guards the SDK's table.
var oneAtATime sync.Mutex

// New makes a client as the SDK's NewClientWithOptions does; a nil config is that of sdk.NewConfig, where the original panics.
func New(region string, config *sdk.Config, credential auth.Credential) (*kms.Client, error) {
	oneAtATime.Lock()
	defer oneAtATime.Unlock()
	if config == nil {
		config = sdk.NewConfig()
	}
	own := *config
	own.EnableAsync = false // it would start goroutines, which nobody needs here
	client, err := kms.NewClientWithOptions(region, &own, credential)
	if err != nil {
		return nil, errors.New("the official client refuses the region or the credential")
	}
	return client, nil
}
