package rekeysql

import (
	"encoding/binary"
	"errors"
)

// pack makes one value of several columns: for each, its length plus one as a varint, then its bytes; zero for NULL.
func pack(values [][]byte) []byte {
	var out []byte
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

// unpack is the reverse of pack, for n columns.
func unpack(value []byte, n int) ([][]byte, error) {
	values := make([][]byte, n)
	for i := range values {
		size, used := binary.Uvarint(value)
		if used <= 0 || size > uint64(len(value)-used)+1 {
			return nil, errors.New("a packed value is cut off")
		}
		value = value[used:]
		if size > 0 {
			values[i] = value[: size-1 : size-1]
			value = value[size-1:]
		}
	}
	if len(value) > 0 {
		return nil, errors.New("a packed value has more columns than the table declares")
	}
	return values, nil
}
