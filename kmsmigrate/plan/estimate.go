package plan

import (
	"fmt"
	"math"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Load is what a sweep has to move.
type Load struct {
	Records int64 `json:"records"` // that the old side wraps
	// DataKeys is how many different wrapped data keys these records have. Zero: each its own.
	DataKeys int64 `json:"data_keys,omitempty"`
	// Batch is how many records the sweep takes at a time, within which equal data keys cost one renewal. Zero: 1,000.
	Batch int64 `json:"batch,omitempty"`
}

// LoadOf takes the load from a census: what the old side wraps, and what nobody owns, for that has to be looked at too.
func LoadOf(c kmsmigrate.Census, dataKeys int64) (Load, error) {
	if !c.Complete {
		return Load{}, fmt.Errorf("plan: estimate: the census is not complete: %w", kmsmigrate.ErrInvalid)
	}
	return Load{Records: c.Held(kmsmigrate.SideOld) + c.Unowned(), DataKeys: dataKeys}, nil
}

// Endpoint is one end of a sweep.
type Endpoint struct {
	// QPS is what it takes: 1,000 for a shared gateway, the tier of an instance. Zero: 1,000.
	QPS float64 `json:"qps,omitempty"`
	// Share of it that the sweep may use, above 0 to 1. Zero: 0.3.
	Share float64 `json:"share,omitempty"`
	// SharedGateway names the shared gateway that it is behind (its region); empty for an instance's own address. ReEncrypt exists only there, and
	// only between two keys behind the same one.
	SharedGateway string `json:"shared_gateway,omitempty"`
	// Kind and PayAsYouGo say that the peak is billed.
	Kind       Kind `json:"kind,omitempty"`
	PayAsYouGo bool `json:"pay_as_you_go,omitempty"`
}

// SweepMode is how a sweep asks the KMS.
type SweepMode string

// The modes.
const (
	ModeRewrap    SweepMode = "re-wrap"          // Decrypt with the old key, Encrypt with the new one, Decrypt to verify
	ModeReEncrypt SweepMode = "re-encrypt-call"  // ReEncrypt, Decrypt to verify; the plaintext never leaves the service
	ModeKeyTable  SweepMode = "shared-key-table" // data keys stand once in a table of their own: each is re-wrapped once
)

// notPossible says why a mode cannot be taken.
var notPossible = map[SweepMode]Text{
	ModeReEncrypt: {"ReEncrypt exists on the shared gateway only, between two keys behind the same one", "ReEncrypt 仅支持共享网关，且两个密钥须位于同一网关"},
	ModeKeyTable:  {"each record has its own data key", "每条记录都有各自的数据密钥"},
}

// reEncryptQPS is the shared gateway's quota for ReEncrypt (performance data).
const reEncryptQPS = 750

// SweepEstimate is what a sweep costs in one mode.
type SweepEstimate struct {
	Mode     SweepMode     `json:"mode"`
	Possible bool          `json:"possible"`
	Why      string        `json:"why,omitempty"` // it is not
	Old      int64         `json:"old_calls"`
	New      int64         `json:"new_calls"`
	Takes    time.Duration `json:"takes"`
	PeakQPS  float64       `json:"peak_qps"` // at the new side, by the sweep alone
	// OldEvents and NewEvents are what the sweep adds to the audit logs in a day: one event for each call. OldLog and NewLog are where they are:
	// ActionTrail for a shared gateway, SLS for an instance's own address.
	OldEvents int64  `json:"old_events_day"`
	NewEvents int64  `json:"new_events_day"`
	OldLog    string `json:"old_log,omitempty"`
	NewLog    string `json:"new_log,omitempty"`
	// Bill is what pay-as-you-go charges for the peak, over all days that the sweep touches, in the price list's currency; zero elsewhere.
	Bill       float64  `json:"bill"`
	Arithmetic []string `json:"arithmetic"`
}

// EstimateSweep estimates calls, time and bill of a sweep in each mode, with the arithmetic. It is an estimate of KMS calls: a slow database makes
// a sweep longer, never cheaper.
func EstimateSweep(load Load, old, next Endpoint, prices Prices) ([]SweepEstimate, error) {
	if err := prices.Validate(); err != nil {
		return nil, err
	}
	if load.Records < 0 || load.DataKeys < 0 || load.Batch < 0 {
		return nil, fmt.Errorf("plan: estimate: a number of the load is below zero: %w", kmsmigrate.ErrInvalid)
	}
	if load.DataKeys > load.Records {
		return nil, fmt.Errorf("plan: estimate: %d data keys for %d records: %w", load.DataKeys, load.Records, kmsmigrate.ErrInvalid)
	}
	for name, e := range map[string]*Endpoint{"old": &old, "new": &next} {
		if e.QPS == 0 {
			e.QPS = 1000
		}
		if e.Share == 0 {
			e.Share = 0.3
		}
		if !(e.QPS > 0) || !(e.Share > 0) || e.Share > 1 || math.IsInf(e.QPS, 0) {
			return nil, fmt.Errorf("plan: estimate: the %s endpoint's QPS or share cannot be: %w", name, kmsmigrate.ErrInvalid)
		}
		if e.PayAsYouGo && prices.Daily[e.Kind] == 0 {
			return nil, fmt.Errorf("plan: estimate: the %s endpoint is billed by use and has no kind: %w", name, kmsmigrate.ErrInvalid)
		}
	}
	if load.DataKeys == 0 {
		load.DataKeys = load.Records
	}
	if load.Batch == 0 {
		load.Batch = 1000
	}
	// A data key is renewed once in each batch that has records of it: at worst in all of them, and never more often than there are records.
	batches := ceilDiv(load.Records, load.Batch)
	renewals := load.Records
	if batches > 0 && load.DataKeys < load.Records/batches {
		renewals = load.DataKeys * batches
	}
	how := fmt.Sprintf("renewals: at most %d data keys x %d batches of %d, and at most %d records = %d", load.DataKeys, batches, load.Batch, load.Records, renewals)

	rewrap := SweepEstimate{Mode: ModeRewrap, Possible: true, Old: renewals, New: 2 * renewals, Arithmetic: []string{how, "a renewal: 1 Decrypt (old), 1 Encrypt and 1 Decrypt to verify (new)"}}
	rewrap.at(old.QPS*old.Share, next.QPS*next.Share, next, prices)

	direct := SweepEstimate{Mode: ModeReEncrypt, Old: renewals, New: renewals, Arithmetic: []string{how, "a renewal: 1 ReEncrypt (old), 1 Decrypt to verify (new)"}}
	if direct.Possible = old.SharedGateway != "" && old.SharedGateway == next.SharedGateway; direct.Possible {
		direct.at(min(old.QPS, reEncryptQPS)*old.Share, next.QPS*next.Share, next, prices)
	} else {
		direct.Why = notPossible[ModeReEncrypt].EN
		direct.Old, direct.New, direct.Arithmetic = 0, 0, nil
	}

	table := SweepEstimate{Mode: ModeKeyTable, Possible: load.DataKeys < load.Records, Old: load.DataKeys, New: 2 * load.DataKeys,
		Arithmetic: []string{fmt.Sprintf("renewals: each of %d data keys once", load.DataKeys), "a renewal: 1 Decrypt (old), 1 Encrypt and 1 Decrypt to verify (new)"}}
	if table.Possible {
		table.at(old.QPS*old.Share, next.QPS*next.Share, next, prices)
	} else {
		table.Why = notPossible[ModeKeyTable].EN
		table.Old, table.New, table.Arithmetic = 0, 0, nil
	}
	out := []SweepEstimate{rewrap, direct, table}
	for i := range out {
		out[i].OldLog, out[i].NewLog = old.log(), next.log()
	}
	return out, nil
}

// log is where the service logs calls to e ("Shared and dedicated gateways", audit).
func (e Endpoint) log() string {
	if e.SharedGateway != "" {
		return "ActionTrail"
	}
	return "SLS"
}

// at fills in time, peak and bill, for that many calls a second on each side.
func (e *SweepEstimate) at(oldRate, newRate float64, next Endpoint, prices Prices) {
	oldSeconds, newSeconds := float64(e.Old)/oldRate, float64(e.New)/newRate
	seconds := max(oldSeconds, newSeconds)
	// Beyond 290 years a Duration ends.
	e.Takes = time.Duration(min(seconds*float64(time.Second), math.MaxInt64/2))
	e.Arithmetic = append(e.Arithmetic, fmt.Sprintf("time: the longer of %d calls / %.1f a second (old) and %d / %.1f (new) = %.0f s = %.1f h", e.Old, oldRate, e.New, newRate, seconds, seconds/3600))
	if seconds > 0 {
		e.PeakQPS = float64(e.New) / seconds
	}
	daily := func(calls int64) int64 { return int64(math.Ceil(float64(calls) / max(1, seconds/86400))) }
	e.OldEvents, e.NewEvents = daily(e.Old), daily(e.New)
	if next.PayAsYouGo && seconds > 0 {
		days := math.Ceil(seconds/86400) + 1 // it may begin late in a day
		peak := math.Ceil(e.PeakQPS)
		e.Bill = peak * prices.QPSDay * days
		e.Arithmetic = append(e.Arithmetic, fmt.Sprintf("bill: %.0f QPS (highest minute, rounded up) x %s %.2f x %.0f days, the first cut off = %.2f", peak, prices.Currency, prices.QPSDay, days, e.Bill))
	}
}

func ceilDiv(a, b int64) int64 { return a/b + min(a%b, 1) }
