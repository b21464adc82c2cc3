package kmstest

import "crypto/rand"

// CreateAccessKey makes a further access key of the account, as good as that of [Cloud.Credentials], for a part of an application
// whose requests are to be told apart: see Request.AccessKeyID.
func (c *Cloud) CreateAccessKey() (accessKeyID, accessKeySecret string) {
	made := newCredential(CredentialPrefix+rand.Text(), rand.Text(), "")
	c.credentials.Store(made.id, made)
	c.save()
	return made.id, made.secret
}
