package kmsmigrate_test

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

func TestPhasesHaveATextForm(t *testing.T) {
	t.Parallel()
	for _, phase := range phases {
		text, err := json.Marshal(phase)
		require.NoError(t, err)
		var back kmsmigrate.Phase
		require.NoError(t, json.Unmarshal(text, &back))
		require.Equal(t, phase, back)
	}
	_, err := kmsmigrate.ParsePhase("WriteNew")
	require.ErrorContains(t, err, "write-new", "the error lists what is valid")
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	_, err = json.Marshal(kmsmigrate.Phase(5))
	require.ErrorIs(t, err, kmsmigrate.ErrPhase)
	require.Equal(t, "phase(5)", kmsmigrate.Phase(5).String())
	var zero kmsmigrate.Phase
	require.Equal(t, kmsmigrate.OldOnly, zero)
	before := kmsmigrate.Rewrite
	require.Error(t, before.UnmarshalText([]byte("nonsense")))
	require.Equal(t, kmsmigrate.Rewrite, before, "a failed read changes nothing")
}

func TestASwitchGoesStepByStep(t *testing.T) {
	t.Parallel()
	for _, from := range phases {
		for _, to := range phases {
			s, err := kmsmigrate.NewPhaseSwitch(from)
			require.NoError(t, err)
			err = s.Set(to)
			proof := from != to && (to == kmsmigrate.NewOnly || to == kmsmigrate.OldOnly)
			if near := to <= from+1 && from <= to+1; near && !proof {
				require.NoError(t, err)
				require.Equal(t, to, s.Current())
				continue
			}
			require.ErrorIs(t, err, kmsmigrate.ErrPhase, "%s to %s", from, to)
			require.Equal(t, from, s.Current())
		}
	}
	var s kmsmigrate.PhaseSwitch
	require.Equal(t, kmsmigrate.OldOnly, s.Current())
	require.NoError(t, s.Jump(kmsmigrate.Rewrite))
	require.Equal(t, kmsmigrate.Rewrite, s.Current())
	require.ErrorIs(t, s.Jump(kmsmigrate.Phase(9)), kmsmigrate.ErrPhase)
	require.ErrorIs(t, s.Set(kmsmigrate.Phase(9)), kmsmigrate.ErrPhase)
	_, err := kmsmigrate.NewPhaseSwitch(kmsmigrate.Phase(9))
	require.ErrorIs(t, err, kmsmigrate.ErrPhase)
}

func TestGivingUpASideTakesACensus(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	clean := kmsmigrate.Census{
		Started: since.Add(time.Hour), Ended: since.Add(2 * time.Hour), Complete: true, Records: 10,
		Counts: []kmsmigrate.Count{{Side: kmsmigrate.SideNew, Owned: kmsmigrate.Mine, Records: 10}},
	}
	with := func(change func(*kmsmigrate.Census)) kmsmigrate.Census {
		c := clean
		c.Counts = append([]kmsmigrate.Count(nil), clean.Counts...)
		change(&c)
		return c
	}
	for why, census := range map[string]kmsmigrate.Census{
		"complete": with(func(c *kmsmigrate.Census) { c.Complete = false }),
		"1 records on the old side": with(func(c *kmsmigrate.Census) {
			c.Counts = append(c.Counts, kmsmigrate.Count{Side: kmsmigrate.SideOld, Records: 1})
		}),
		"2 records that no":           with(func(c *kmsmigrate.Census) { c.Counts = append(c.Counts, kmsmigrate.Count{Records: 2}) }),
		"3 records that no":           with(func(c *kmsmigrate.Census) { c.Unreadable = 3 }),
		"before every process":        with(func(c *kmsmigrate.Census) { c.Started = since }),
		"before every process had st": {},
	} {
		s, err := kmsmigrate.NewPhaseSwitch(kmsmigrate.Rewrite)
		require.NoError(t, err)
		err = s.SetProven(kmsmigrate.NewOnly, since, clean, census)
		require.ErrorIs(t, err, kmsmigrate.ErrPhase)
		require.ErrorContains(t, err, why)
		require.Equal(t, kmsmigrate.Rewrite, s.Current())
	}
	s, err := kmsmigrate.NewPhaseSwitch(kmsmigrate.Rewrite)
	require.NoError(t, err)
	require.ErrorIs(t, s.SetProven(kmsmigrate.NewOnly, time.Time{}, clean), kmsmigrate.ErrPhase, "no date, no proof")
	require.ErrorIs(t, s.SetProven(kmsmigrate.NewOnly, since), kmsmigrate.ErrPhase, "no census, no proof")
	empty := with(func(c *kmsmigrate.Census) { c.Records, c.Counts = 0, nil })
	require.ErrorContains(t, s.SetProven(kmsmigrate.NewOnly, since, empty), "the right tables", "a census of nothing proves nothing")
	require.NoError(t, s.SetProven(kmsmigrate.NewOnly, since, clean, empty))
	require.NoError(t, s.Set(kmsmigrate.Rewrite), "back, while the old key exists")
	require.NoError(t, s.Set(kmsmigrate.WriteNew))
	require.NoError(t, s.Set(kmsmigrate.ReadBoth))
	require.ErrorIs(t, s.SetProven(kmsmigrate.OldOnly, since, clean), kmsmigrate.ErrPhase, "ten records are new")
	none := with(func(c *kmsmigrate.Census) { c.Counts[0].Side = kmsmigrate.SideOld })
	require.NoError(t, s.SetProven(kmsmigrate.OldOnly, since, none))
	require.ErrorIs(t, s.SetProven(kmsmigrate.NewOnly, since, clean), kmsmigrate.ErrPhase, "proof is no licence to jump")
}

func TestTwoStepsAtOnceAreNotAJump(t *testing.T) {
	t.Parallel()
	for range 200 {
		s, err := kmsmigrate.NewPhaseSwitch(kmsmigrate.ReadBoth)
		require.NoError(t, err)
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i, to := range []kmsmigrate.Phase{kmsmigrate.WriteNew, kmsmigrate.Rewrite} {
			wg.Go(func() { errs[i] = s.Set(to) })
		}
		wg.Wait()
		require.NoError(t, errs[0])
		if errs[1] == nil {
			require.Equal(t, kmsmigrate.Rewrite, s.Current())
		} else {
			require.Equal(t, kmsmigrate.WriteNew, s.Current())
		}
	}
}
