package rekey

import (
	"encoding/binary"
	"math"
	"math/bits"
	"sync"
)

// distinct estimates how many different hashes it has seen, within 2 % or so, in 4 KiB however many there are (a
// HyperLogLog; what it is given are hashes already).
type distinct struct {
	mu   sync.Mutex
	most [4096]uint8
	any  bool
}

func (d *distinct) add(hash [32]byte) {
	where := binary.BigEndian.Uint16(hash[:2]) >> 4
	zeros := bits.LeadingZeros64(binary.BigEndian.Uint64(hash[8:16])) + 1
	d.mu.Lock()
	defer d.mu.Unlock()
	d.any = true
	d.most[where] = max(d.most[where], uint8(zeros))
}

func (d *distinct) count() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.any {
		return 0
	}
	m := float64(len(d.most))
	sum, empty := 0.0, 0
	for _, n := range d.most {
		sum += math.Ldexp(1, -int(n))
		if n == 0 {
			empty++
		}
	}
	estimate := 0.7213 / (1 + 1.079/m) * m * m / sum
	if estimate <= 2.5*m && empty > 0 {
		estimate = m * math.Log(m/float64(empty)) // few: counting the empty places is better
	}
	return int64(math.Round(estimate))
}
