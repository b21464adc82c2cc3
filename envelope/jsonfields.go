package envelope

import (
	"bytes"
	"encoding/json"
	"io"
)

// field is a text value of a JSON object and where in the object it stands, quotes included.
type field struct {
	text       string
	start, end int
}

// jsonFields returns the text fields of the one object that record is, by name. Values of other kinds are passed over. It is
// strict about what could mean two things: a name that stands twice, more than one value, and anything that is no
// object are errors. The offsets let a value be replaced without touching another byte. The object stands at an offset of the
// record, for errors.
func jsonFields(layout string, record []byte, base int) (map[string]field, error) {
	d := json.NewDecoder(bytes.NewReader(record))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, badFormat(layout, base, "want a JSON object")
	}
	fields, seen := map[string]field{}, map[string]bool{}
	for d.More() {
		at := int(d.InputOffset())
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, badFormat(layout, base+at, "want the name of a field")
		}
		if seen[name] {
			return nil, badFormat(layout, base+at, "want each field once")
		}
		seen[name] = true
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return nil, badFormat(layout, base+at, "want a JSON value")
		}
		if raw[0] == '"' {
			var text string
			if err := json.Unmarshal(raw, &text); err != nil {
				return nil, badFormat(layout, base+at, "want a JSON string")
			}
			end := int(d.InputOffset())
			fields[name] = field{text: text, start: end - len(raw), end: end}
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, badFormat(layout, base+int(d.InputOffset()), "want the end of the JSON object")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, badFormat(layout, base+int(d.InputOffset()), "want nothing after the JSON object")
	}
	return fields, nil
}

// replaceField returns record with another text for one field.
func replaceField(record []byte, f field, text string) ([]byte, error) {
	quoted, err := json.Marshal(text)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(record)+len(quoted))
	out = append(out, record[:f.start]...)
	out = append(out, quoted...)
	return append(out, record[f.end:]...), nil
}
