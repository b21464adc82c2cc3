package rekeysql

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// column is what the catalogue says of one column.
type column struct {
	name      string
	kind      string // its type, for people and for casts
	nullable  bool
	generated bool
	bumped    bool // ON UPDATE CURRENT_TIMESTAMP
	key       keyKind
	classed   bool // SQLite: a key has a storage class of its own, whatever the column's type
	text      bool
	binary    bool
	chars     int64 // the most characters that it holds; 0: no bound
	bytes     int64 // the most bytes; 0: no bound
	exact     bool  // holds bytes bytes and pads what is shorter
	padded    bool  // loses spaces at the end
}

// fits returns an error where the column would cut, pad or refuse a value.
func (c column) fits(value []byte) error {
	n := int64(len(value))
	switch {
	case value == nil:
		return nil // NULL, which stays NULL
	case c.text && !utf8.Valid(value):
		return fmt.Errorf("column %q is text, and the new value is not valid UTF-8", c.name)
	case c.exact && n != c.bytes:
		return fmt.Errorf("column %q holds exactly %d bytes, and the new value has %d", c.name, c.bytes, n)
	case c.bytes > 0 && n > c.bytes:
		return fmt.Errorf("column %q holds %d bytes, and the new value has %d", c.name, c.bytes, n)
	case c.chars > 0 && int64(utf8.RuneCount(value)) > c.chars:
		return fmt.Errorf("column %q holds %d characters, and the new value has %d", c.name, c.chars, utf8.RuneCount(value))
	case c.padded && n > 0 && value[n-1] == ' ':
		return fmt.Errorf("column %q loses the spaces at the end of the new value", c.name)
	default:
		return nil
	}
}

// argument is a value as the driver should send it to this column.
func (c column) argument(value []byte) any {
	switch {
	case value == nil:
		return nil
	case c.text:
		return string(value)
	default:
		return value
	}
}

// definition is a table as the catalogue has it.
type definition struct {
	columns []column
	indexes [][]string // the columns of each unique index
	refused string     // why the table cannot be scanned in full; empty where it can
	// costly says that a lock time-out ends the whole transaction.
	costly bool
}

func (d definition) names() string {
	names := make([]string, 0, len(d.columns))
	for _, c := range d.columns {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// unique reports whether some unique index is made of columns of key only.
func (d definition) unique(key []string) bool {
	return slices.ContainsFunc(d.indexes, func(index []string) bool {
		return len(index) > 0 && !slices.ContainsFunc(index, func(name string) bool { return !slices.Contains(key, name) })
	})
}

func (d definition) uniques() string {
	all := make([]string, 0, len(d.indexes))
	for _, index := range d.indexes {
		all = append(all, "("+strings.Join(index, ", ")+")")
	}
	if len(all) == 0 {
		return "the table has no unique index"
	}
	return "unique are " + strings.Join(all, ", ")
}
