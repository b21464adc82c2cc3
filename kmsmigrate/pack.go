package kmsmigrate

import (
	"encoding/binary"
	"fmt"
)

// Pack makes one value of several that belong together: the columns of one record, which must be read and replaced as one.
// For each it holds the length plus one as a varint, then the bytes; a nil value, for NULL, is a zero.
func Pack(values ...[]byte) []byte {
	size := 0
	for _, v := range values {
		size += binary.MaxVarintLen64 + len(v)
	}
	out := make([]byte, 0, size)
	for _, v := range values {
		if v == nil {
			out = binary.AppendUvarint(out, 0)
			continue
		}
		out = binary.AppendUvarint(out, uint64(len(v))+1)
		out = append(out, v...)
	}
	return out
}

// Unpack returns the n values that Pack was given. They are parts of packed. It fails with [ErrInvalid] when packed does
// not hold exactly n values.
func Unpack(packed []byte, n int) ([][]byte, error) {
	if n < 0 {
		return nil, fmt.Errorf("kmsmigrate: a packed value cannot have %d parts: %w", n, ErrInvalid)
	}
	values := make([][]byte, n)
	for i := range values {
		size, used := binary.Uvarint(packed)
		if used <= 0 || size > uint64(len(packed)-used)+1 {
			return nil, fmt.Errorf("kmsmigrate: a packed value is cut off at part %d of %d: %w", i+1, n, ErrInvalid)
		}
		packed = packed[used:]
		if size > 0 {
			values[i] = packed[: size-1 : size-1]
			packed = packed[size-1:]
		}
	}
	if len(packed) > 0 {
		return nil, fmt.Errorf("kmsmigrate: a packed value has more than %d parts: %w", n, ErrInvalid)
	}
	return values, nil
}
