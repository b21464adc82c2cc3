package app

import (
	"strings"

	v3 "github.com/alibabacloud-go/kms-20160120/v3/client"
	"github.com/aliyun/alibaba-cloud-sdk-go/services/kms"
)

const wanted = "86a9efd9-3d16-4894-bd4f-1fc43f3f2abf"

type own struct{ KeyVersionId string }

func compare(out *kms.EncryptResponse, body *v3.DecryptResponseBody, mine own, seen map[string]bool) bool {
	if out.KeyVersionId == wanted { // want `version-id: remove this logic`
		return true
	}
	if out.KeyVersionId == "" { // asks only whether there is one
		return false
	}
	version := out.KeyVersionId
	if strings.EqualFold(version, wanted) { // want `version-id: remove this logic`
		return true
	}
	switch out.KeyVersionId { // want `version-id: remove this logic`
	case wanted:
	}
	if body.KeyVersionId == nil {
		return false
	}
	if *body.GetKeyVersionId() != wanted { // want `version-id: remove this logic`
		return false
	}
	if seen[version] { // want `version-id: a map is looked up`
		return true
	}
	return mine.KeyVersionId == wanted // not an SDK's
}

func configure() (*kms.Client, error) {
	client, err := kms.NewClientWithAccessKey("cn-hangzhou", "id", "secret") // want `region: a region stands`
	r := kms.CreateEncryptRequest()
	r.KeyId = "0f3c7a52-9a11-4f6c-8f5e-0123456789ab"                                 // want `key-id: a key id stands`
	r.KeyId = "alias/app"                                                            // an alias can be pointed elsewhere
	r.Plaintext = "0f3c7a52-9a11-4f6c-8f5e-0123456789ab"                             // not a key id
	r.Domain = "kms.cn-hangzhou.aliyuncs.com"                                        // want `endpoint: an endpoint stands`
	r.RegionId = "cn-shanghai"                                                       // want `region: a region stands`
	_ = &kms.EncryptRequest{KeyId: "0f3c7a52-9a11-4f6c-8f5e-0123456789ab"}           // want `key-id: a key id stands`
	_ = (&v3.EncryptRequest{}).SetKeyId("0f3c7a52-9a11-4f6c-8f5e-0123456789ab")      // want `key-id: a key id stands`
	_ = &v3.EncryptRequest{KeyId: v3.String("0f3c7a52-9a11-4f6c-8f5e-0123456789ab")} // want `key-id: a key id stands`
	_ = "key-hzz62f1cb66fa42qopd9s"                                                  // want `key-id: a key id stands`
	_ = "acs:kms:cn-hangzhou:1234:key/x"                                             // want `key-id: a key id stands`
	_ = "kst-hzz659dfeee864za2.cryptoservice.kms.aliyuncs.com"                       // want `endpoint: an endpoint stands`
	region := "cn-hangzhou"                                                          // want `region: a region stands`
	_ = region
	_ = "kms-vpc." + region + ".aliyuncs.com" // want `endpoint: an endpoint stands`
	other := "cn-hangzhou"                    // nobody knows what for
	_ = other
	return client, err
}
