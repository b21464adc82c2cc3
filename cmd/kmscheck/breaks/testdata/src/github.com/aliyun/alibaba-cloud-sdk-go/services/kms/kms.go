// Package kms has as much of the OpenAPI SDK as the test needs.
package kms

type Client struct{}

func NewClientWithAccessKey(regionID, id, secret string) (*Client, error) { return &Client{}, nil }

type EncryptRequest struct {
	KeyId, Plaintext, Domain, RegionId string
}

type EncryptResponse struct {
	KeyId, KeyVersionId, CiphertextBlob string
}

func CreateEncryptRequest() *EncryptRequest { return &EncryptRequest{} }

func (c *Client) Encrypt(r *EncryptRequest) (*EncryptResponse, error) { return &EncryptResponse{}, nil }
