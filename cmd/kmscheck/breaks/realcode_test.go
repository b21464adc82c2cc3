package breaks_test

import "github.com/keyhaul/keyhaul/cmd/kmscheck/breaks"

// realCode has what is found in public code, by kind.
var realCode = map[string]map[string]int{
	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk:example":           {},                   // placeholders from the environment only
	"github.com/aliyun/alibabacloud-dkms-transfer-go-sdk:examples":     {},                   // likewise
	"github.com/aliyun/aliyun-secretsmanager-client-go/...":            {breaks.Endpoint: 2}, // endpoint_utils.go: puts kms.<region>.aliyuncs.com together
	"github.com/hashicorp/go-kms-wrapping/wrappers/alicloudkms/v2/...": {breaks.Region: 1},   // options.go: cn-beijing where none is given
}
