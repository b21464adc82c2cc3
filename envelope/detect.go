package envelope

import (
	"errors"
	"fmt"
	"strings"
)

// detect finds the layout of a record that is not of the own format.
func (e *Envelope) detect(record []byte) (Layout, Header, error) {
	switch len(e.layouts) {
	case 0:
		_, err := parse(record)
		return nil, Header{}, err
	case 1:
		h, err := parseWith(e.layouts[0], record)
		return e.layouts[0], h, err
	}
	return Detect(record, e.layouts...)
}

// Detect finds the one layout that a record has, and its header. A layout fits when its Parse does not fail. It fails with
// [ErrFormat] when none fits, and says why for each; and when more than one does, because a wrong guess about whose key
// bytes are could cost the record.
func Detect(record []byte, layouts ...Layout) (Layout, Header, error) {
	var fit []Layout
	var header Header
	var reasons []error
	for _, l := range layouts {
		h, err := parseWith(l, record)
		if err != nil {
			reasons = append(reasons, err)
			continue
		}
		fit, header = append(fit, l), h
	}
	switch len(fit) {
	case 1:
		return fit[0], header, nil
	case 0:
		return nil, Header{}, fmt.Errorf("envelope: none of %d layouts fits: %w", len(layouts), errors.Join(append(reasons, ErrFormat)...))
	default:
		names := make([]string, len(fit))
		for i, l := range fit {
			names[i] = l.Name()
		}
		return nil, Header{}, fmt.Errorf("envelope: the record fits more than one layout, %s; configure the one it is of: %w", strings.Join(names, " and "), ErrFormat)
	}
}

// parseWith checks what a Layout promises, so that the code behind it need not.
func parseWith(l headers, record []byte) (Header, error) {
	h, err := l.Parse(record)
	if err != nil {
		if errors.Is(err, ErrFormat) {
			return Header{}, err
		}
		return Header{}, fmt.Errorf("envelope: %s: %w: %w", l.Name(), err, ErrFormat)
	}
	if len(h.Values) == 0 {
		return Header{}, badFormat(l.Name(), 0, "the layout found no wrapped value")
	}
	for _, v := range h.Values {
		if len(v.Copies) == 0 {
			return Header{}, badFormat(l.Name(), 0, "the layout found a value without a wrapped copy")
		}
		for _, c := range v.Copies {
			if len(c) == 0 {
				return Header{}, badFormat(l.Name(), 0, "the layout found an empty wrapped copy")
			}
		}
	}
	return h, nil
}
