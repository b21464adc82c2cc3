package kmsmigrate

// route is who may be asked to open a ciphertext, in order, and what is known of it meanwhile.
type route struct {
	ask     []stop
	ref     KeyRef // the best that any key could tell
	skipped Side   // a side that owns it and that the phase does not read
}

// stop is one key to ask.
type stop struct {
	key   int // in Client.keys
	ref   KeyRef
	owned Ownership
}

// route asks every key, without I/O, whose ciphertext it is. Owners come first and, among them, the new side: keys are
// listed so. Then come those who cannot tell, in the order that the phase makes likely. Foreign ones are left out.
func (c *Client) route(p Phase, ciphertext []byte) route {
	var r route
	var first, second []stop
	likely := SideOld
	if p.Writes() == SideNew {
		likely = SideNew
	}
	for i, k := range c.keys {
		ref, owned := k.key.Owns(ciphertext)
		if r.ref == (KeyRef{}) || owned == Mine {
			r.ref = ref
		}
		switch {
		case owned == Foreign:
		case owned == Mine && !p.Reads(k.side):
			r.skipped = k.side
		case !p.Reads(k.side):
		case owned == Mine:
			r.ask = append(r.ask, stop{i, ref, owned})
		case k.side == likely:
			first = append(first, stop{i, ref, owned})
		default:
			second = append(second, stop{i, ref, owned})
		}
	}
	if len(r.ask) > 0 {
		r.skipped = SideUnknown
	}
	if r.skipped == SideUnknown {
		r.ask = append(append(r.ask, first...), second...)
	}
	return r
}

// owner returns the side that surely owns a ciphertext, the new one before the old, and the key. SideUnknown where no key
// is sure; the KeyRef then holds what its header tells.
func (c *Client) owner(ciphertext []byte) (Side, KeyRef) {
	var best KeyRef
	for _, k := range c.keys {
		ref, owned := k.key.Owns(ciphertext)
		if owned == Mine {
			return k.side, ref
		}
		if best == (KeyRef{}) {
			best = KeyRef{VersionID: ref.VersionID}
		}
	}
	return SideUnknown, best
}
