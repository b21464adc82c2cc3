package envelope

import (
	"encoding/binary"
	"math/bits"
)

// unpack is kmsmigrate.Unpack for records: it says where in the record each column begins, and where one is not as it must be.
// It takes nothing that kmsmigrate.Pack would write otherwise, so that a record is one value in one way only.
func unpack(layout string, record []byte, n int) (columns [][]byte, at []int, err error) {
	columns, at = make([][]byte, n), make([]int, n)
	offset := 0
	for i := range n {
		size, used := binary.Uvarint(record[offset:])
		if used <= 0 || used > max(1, (bits.Len64(size)+6)/7) {
			return nil, nil, badFormat(layout, offset, "want the length of column %d of %d in its shortest form", i+1, n)
		}
		rest := record[offset+used:]
		if size > uint64(len(rest))+1 {
			return nil, nil, badFormat(layout, offset, "want column %d of %d, the record ends", i+1, n)
		}
		offset += used
		at[i] = offset
		if size > 0 {
			columns[i] = rest[: size-1 : size-1]
			offset += int(size - 1)
		}
	}
	if offset < len(record) {
		return nil, nil, badFormat(layout, offset, "want nothing after column %d of %d", n, n)
	}
	return columns, at, nil
}
