package model

// AESGCM is the only algorithm of software instances, and the default everywhere.
const AESGCM = "AES_GCM"

// maxAAD is the largest Aad in bytes [KMS document AdvanceDecrypt].
const maxAAD = 8192

// AdvanceSeal encrypts as AdvanceEncrypt does: under the primary version, self-contained. Only symmetric keys in software instances can.
func (d Door) AdvanceSeal(ref, algorithm string, iv, plaintext, aad []byte) (Sealed, *Error) {
	if err := checkGCM(algorithm, aad); err != nil {
		return Sealed{}, err
	}
	if err := d.advanceAllowed(ref); err != nil {
		return Sealed{}, err
	}
	return d.Seal(ref, Primary, iv, plaintext, aad)
}

func checkGCM(algorithm string, aad []byte) *Error {
	if algorithm != "" && algorithm != AESGCM {
		return InvalidParameter("Algorithm")
	}
	if len(aad) > maxAAD {
		return InvalidParameter("Aad")
	}
	return nil
}

func (d Door) advanceAllowed(ref string) *Error {
	c := d.Region.cloud
	c.rlock()
	defer c.mu.RUnlock()
	k, err := d.key(ref)
	switch {
	case err != nil:
		return err
	case !k.Symmetric():
		return OnlySymmetric(k.ID)
	case k.Instance == nil || k.Instance.Kind != Software && !c.rules.AdvanceOnHardware:
		return Unsupported()
	}
	return nil
}

// AdvanceOpen is what AdvanceDecrypt is given. A self-contained blob needs nothing beside it; any other needs KeyRef and IV.
type AdvanceOpen struct {
	KeyRef    string
	Algorithm string
	Blob      []byte
	IV        []byte
	AAD       []byte
}

// AdvanceOpen decrypts what Advance* made, an OpenAPI blob with the three bytes put before it, and what the instance's Encrypt and
// GenerateDataKey made.
func (d Door) AdvanceOpen(in AdvanceOpen) (Opened, *Error) {
	if len(in.Blob) == 0 {
		return Opened{}, MissingParameter("CiphertextBlob")
	}
	if err := checkGCM(in.Algorithm, in.AAD); err != nil {
		return Opened{}, err
	}
	if s, ok := ParseAdvance(in.Blob); ok {
		return d.Open(s, in.AAD)
	}
	if in.KeyRef == "" {
		return Opened{}, d.Region.cloud.rules.BadCiphertext
	}
	if len(in.IV) == 0 {
		return Opened{}, MissingParameter("Iv")
	}
	return d.OpenInitial(in.KeyRef, Sealed{IV: in.IV, Data: in.Blob}, in.AAD)
}
