package model

import (
	"crypto/rsa"
	"time"
)

// ClientKey is the public half of an application's credential for an instance.
type ClientKey struct {
	ID      string
	Public  *rsa.PublicKey
	Expires time.Time
}

// AddClientKey lets the holder of the matching private key in.
func (i *Instance) AddClientKey(ck *ClientKey) {
	c := i.Region.cloud
	c.lock()
	defer c.unlock()
	i.clientKeys[ck.ID] = ck
}

// ClientKey finds a ClientKey, expired or not, and reports whether it is still valid.
func (i *Instance) ClientKey(id string) (ck *ClientKey, valid bool) {
	c := i.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	ck = i.clientKeys[id]
	return ck, ck != nil && c.now().Before(ck.Expires)
}
