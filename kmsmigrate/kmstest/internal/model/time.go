package model

import (
	"math"
	"time"
)

// rlock takes the read lock on a state in which everything that fell due has happened.
func (c *Cloud) rlock() {
	if c.now().UnixNano() >= c.due.Load() {
		c.lock()
		c.unlock()
	}
	c.mu.RLock()
}

// lock takes the write lock, likewise.
func (c *Cloud) lock() {
	c.mu.Lock()
	if c.now().UnixNano() >= c.due.Load() {
		c.settle()
	}
}

// unlock ends a change and tells whoever keeps a copy.
func (c *Cloud) unlock() {
	c.mu.Unlock()
	if c.changed != nil {
		c.changed()
	}
}

// schedule makes sure that settle runs when t has come. The zero time never comes.
func (c *Cloud) schedule(t time.Time) {
	if n := t.UnixNano(); !t.IsZero() && n < c.due.Load() {
		c.due.Store(n)
	}
}

// settle lets happen what the clock has reached: deletions, rotations, the end of imported material. Cloud.mu must be held.
func (c *Cloud) settle() {
	c.due.Store(math.MaxInt64)
	now := c.now()
	for _, r := range c.regions {
		for _, k := range r.keys {
			k.settle(now)
		}
		for name, s := range r.secrets {
			if !s.PlannedDelete.IsZero() && !now.Before(s.PlannedDelete) {
				delete(r.secrets, name)
				continue
			}
			c.schedule(s.PlannedDelete)
		}
	}
}

// maxCatchUp bounds the rotations of one leap of the clock: the key quota would be used up long before.
const maxCatchUp = 1000

func (k *Key) settle(now time.Time) {
	c := k.Region.cloud
	if k.State == PendingDeletion && !now.Before(k.Deletion.Date) {
		k.destroy()
		return
	}
	if k.State == PendingDeletion {
		c.schedule(k.Deletion.Date)
	}
	if !k.Import.Expires.IsZero() && !now.Before(k.Import.Expires) {
		k.forgetMaterial()
	}
	c.schedule(k.Import.Expires)
	for range maxCatchUp {
		if k.Rotation.Status != "Enabled" || now.Before(k.Rotation.Next) {
			break
		}
		at := k.Rotation.Next
		if _, err := k.rotate(); err != nil {
			break
		}
		k.primary().Created, k.Rotation.Last, k.Rotation.Next = at, at, at.Add(k.Rotation.Interval)
	}
	if k.Rotation.Status == "Enabled" {
		c.schedule(k.Rotation.Next)
	}
}

// destroy ends a key for good: what it encrypted is lost.
func (k *Key) destroy() {
	r := k.Region
	delete(r.keys, k.ID)
	for _, v := range k.Versions {
		delete(r.versions, v.ID)
		for _, id := range v.OldIDs {
			delete(r.versions, id)
		}
	}
	for name, a := range r.aliases {
		if a.KeyID == k.ID {
			delete(r.aliases, name)
		}
	}
}
