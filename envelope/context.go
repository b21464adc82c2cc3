package envelope

import (
	"encoding/binary"
	"slices"
	"strings"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// appendContext appends an encoding of ec that no other context has: the number of entries, then names and values in the
// order of the names' bytes, each after its length. All numbers are 4 bytes, big-endian. The KMS joins them as k=v&k=v,
// where {"a": "1&b=2"} and {"a": "1", "b": "2"} are the same; here they are not.
func appendContext(dst []byte, ec kmsmigrate.EncryptionContext) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(ec)))
	if len(ec) == 0 {
		return dst
	}
	var few [8]contextEntry
	entries := few[:0]
	for name, value := range ec {
		entries = append(entries, contextEntry{name, value})
	}
	if len(entries) > 1 {
		slices.SortFunc(entries, func(a, b contextEntry) int { return strings.Compare(a.name, b.name) })
	}
	for _, entry := range entries {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(entry.name)))
		dst = append(dst, entry.name...)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(entry.value)))
		dst = append(dst, entry.value...)
	}
	return dst
}

// contextEntry is one name and value.
type contextEntry struct{ name, value string }

func contextEntries(ec kmsmigrate.EncryptionContext) []contextEntry {
	entries := make([]contextEntry, 0, len(ec))
	for name, value := range ec {
		entries = append(entries, contextEntry{name, value})
	}
	return entries
}

// sameContext reports whether ec has these entries and no others.
func sameContext(entries []contextEntry, ec kmsmigrate.EncryptionContext) bool {
	if len(entries) != len(ec) {
		return false
	}
	for _, entry := range entries {
		if value, ok := ec[entry.name]; !ok || value != entry.value {
			return false
		}
	}
	return true
}
