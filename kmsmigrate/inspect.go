package kmsmigrate

import "fmt"

// Info is what the headers of a record tell without a call to the KMS.
type Info struct {
	Layout string // the record's format; "kms" for bare ciphertext
	Copies []Copy // the wrapped copies of its data key; for bare ciphertext one, itself
}

// Copy is one wrapped copy of a record's data key, or a bare ciphertext.
type Copy struct {
	Key   KeyRef    // the wrapping key, as far as the header tells
	Side  Side      // whose that is; SideUnknown where no configured key owns it
	Owned Ownership // Mine where a configured key is sure, else Unknown
	// Group is a hash of the wrapped data key: records of one Group are renewed with the same KMS calls. All zero for a
	// bare ciphertext, which shares its wrapping with no other.
	Group [32]byte
	// Value counts the values of a record whose format wraps more than one, a data key and a nonce: 0 for the first. A record
	// needs one copy of each.
	Value int
}

// Standing returns the copy that says whose a record is: of each value the best copy, the new side's before the old side's
// before one that nobody is sure of, and of those the worst, because a record opens only when all of its values do. It returns
// false when there is no copy.
func (i Info) Standing() (Copy, bool) {
	best := map[int]Copy{}
	for _, c := range i.Copies {
		if was, ok := best[c.Value]; !ok || rank(c.Side) > rank(was.Side) {
			best[c.Value] = c
		}
	}
	var worst Copy
	found := false
	for _, c := range i.Copies { // in the order of the record, so that the answer is always the same
		if c == best[c.Value] && (!found || rank(c.Side) < rank(worst.Side)) {
			worst, found = c, true
		}
	}
	return worst, found
}

// rank orders sides by how little is left to do.
func rank(s Side) int {
	switch s {
	case SideNew:
		return 2
	case SideOld:
		return 1
	default:
		return 0
	}
}

// Inspect tells whose key raw ciphertext needs, without a call to the KMS. It reads whatever the phase, also the old
// side's in NewOnly. It fails with [ErrInvalid] for input that cannot be ciphertext.
func (c *Client) Inspect(ciphertext []byte) (Info, error) {
	switch {
	case len(ciphertext) == 0:
		return Info{}, &Error{Op: "inspect", Err: fmt.Errorf("no ciphertext: %w", ErrInvalid)}
	case looksEncoded(ciphertext):
		return Info{}, &Error{Op: "inspect", Err: fmt.Errorf("this is a CiphertextBlob string, not ciphertext: pass it through DecodeBlob: %w", ErrInvalid)}
	}
	side, ref := c.owner(ciphertext)
	if ref == (KeyRef{}) {
		ref.VersionID, _ = BlobVersion(ciphertext)
	}
	owned := Unknown
	if side != SideUnknown {
		owned = Mine
	}
	return Info{Layout: "kms", Copies: []Copy{{Key: ref, Side: side, Owned: owned}}}, nil
}
