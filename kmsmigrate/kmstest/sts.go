package kmstest

import (
	"crypto/rand"
)

// TemporaryCredentials are what STS hands out: an access key that is good only together with its token.
type TemporaryCredentials struct {
	AccessKeyID     string
	AccessKeySecret string
	SecurityToken   string
}

// AssumeRole makes temporary credentials of the account. They do not expire.
func (c *Cloud) AssumeRole() TemporaryCredentials {
	t := TemporaryCredentials{AccessKeyID: CredentialPrefix + "STS" + rand.Text(), AccessKeySecret: rand.Text(), SecurityToken: rand.Text() + rand.Text()}
	c.credentials.Store(t.AccessKeyID, newCredential(t.AccessKeyID, t.AccessKeySecret, t.SecurityToken))
	c.save()
	return t
}
