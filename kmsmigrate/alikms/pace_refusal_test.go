package alikms

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// What fails at once, such as a credential that could not be had, says nothing about how long answers take.
func TestAQuickRefusalDoesNotMakeAnswersLookSlow(t *testing.T) {
	t.Parallel()
	p := &pacer{width: width{limit: 50, most: 100}}
	now := time.Now()
	for range 50 {
		now = now.Add(20 * time.Millisecond)
		p.width.answered(now, 20*time.Millisecond)
	}
	before := p.width.limit
	for _, err := range []error{kmsmigrate.ErrDenied, errors.New("no credential")} {
		p.ended(false, 30*time.Microsecond, err)
	}
	for range 50 {
		now = now.Add(20 * time.Millisecond)
		p.width.answered(now, 20*time.Millisecond)
	}
	require.GreaterOrEqual(t, p.width.limit, before)
	require.Equal(t, 20*time.Millisecond, p.width.base.Round(time.Millisecond))
}
