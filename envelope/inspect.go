package envelope

import "github.com/keyhaul/keyhaul/kmsmigrate"

// Inspect tells from a record's header which keys its data key is wrapped by, without a call to the KMS. Copies of one
// Group are renewed together, with the same KMS calls. Of a stream it takes the header, with or without what follows. It
// fails with [ErrFormat].
//
// A record whose data key is in a KeyTable needs nothing of the old side itself, so it counts as the new side's, under the
// layout "keyhaul table" and with no key: whose its data key is, a census of the table says. Take both.
func (e *Envelope) Inspect(record []byte) (kmsmigrate.Info, error) {
	if err, ok := inTable(record); ok {
		if err != nil {
			return kmsmigrate.Info{}, err
		}
		in := kmsmigrate.Copy{Side: kmsmigrate.SideNew, Owned: kmsmigrate.Mine, Group: kmsmigrate.LedgerID(record[copiesAt : copiesAt+keyIDSize])}
		return kmsmigrate.Info{Layout: "keyhaul table", Copies: []kmsmigrate.Copy{in}}, nil
	}
	l, h, err := e.headers(record)
	if err != nil {
		return kmsmigrate.Info{}, err
	}
	info := kmsmigrate.Info{Layout: l.Name()}
	for i, v := range h.Values {
		for _, wrapped := range v.Copies {
			of, err := e.keys.Inspect(wrapped)
			if err != nil {
				return kmsmigrate.Info{}, err
			}
			c := of.Copies[0]
			c.Value = i
			if !h.Direct {
				c.Group = kmsmigrate.LedgerID(wrapped)
			}
			info.Copies = append(info.Copies, c)
		}
	}
	return info, nil
}

// ownFormat tells whether record is a record or a stream, or a stream's header, of the own format.
func ownFormat(record []byte) (own, bool) {
	switch {
	case isOwn(record):
		return own{ownName}, true
	case isStream(record):
		return own{streamName}, true
	default:
		return own{}, false
	}
}

// headers finds a record's format, the own one among them, and its header.
func (e *Envelope) headers(record []byte) (headers, Header, error) {
	if o, ok := ownFormat(record); ok {
		h, err := o.Parse(record)
		return o, h, err
	}
	return e.detect(record)
}
