package envelope

import "unsafe"

// overlap tells whether what append would write behind dst shares memory with x.
func overlap(dst, x []byte) bool {
	free := dst[len(dst):cap(dst)]
	if len(free) == 0 || len(x) == 0 {
		return false
	}
	first := func(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) } //nolint:gosec // compared, never followed
	return first(free) < first(x)+uintptr(len(x)) && first(x) < first(free)+uintptr(len(free))
}
