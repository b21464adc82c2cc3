package plan

import (
	"fmt"
	"io"
	"time"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// PricesSchema is the value of Prices.Schema that this version reads and writes.
const PricesSchema = "keyhaul.prices/1"

// Prices is a dated price list. The one in this package is what the documents said on its day; have your own read with [ReadPrices].
type Prices struct {
	Schema   string    `json:"schema"`
	Day      time.Time `json:"day"` // that the prices are of
	Currency string    `json:"currency"`
	Source   string    `json:"source"`
	// Tiers are the sizes that can be bought, by kind, smallest first.
	Tiers map[Kind][]Tier `json:"tiers"`
	// Daily are the pay-as-you-go prices by kind; the rest of them does not depend on the kind.
	Daily         map[Kind]float64 `json:"daily"`           // an instance, a day
	KeyVersionDay float64          `json:"key_version_day"` // each version, a day; PendingDeletion is free
	SecretDay     float64          `json:"secret_day"`
	QPSDay        float64          `json:"qps_day"` // each QPS of the day's highest minute, rounded up
	// Call10k are the prices of KMS 1.0 for 10,000 calls, in the Chinese mainland and elsewhere.
	Call10kMainland float64 `json:"call10k_mainland"`
	Call10kAbroad   float64 `json:"call10k_abroad"`
}

// Tier is a size of instance.
type Tier struct {
	QPS  int `json:"qps"`  // symmetric
	Asym int `json:"asym"` // asymmetric
	Keys int `json:"keys"` // key versions included
	// Month is the subscription's price for a month; 0: not in this list, ask for it.
	Month float64 `json:"month"`
}

// DefaultPrices are those of March 2026 (KMS billing; pay-as-you-go; performance data). Only the smallest tiers have a published price.
func DefaultPrices() Prices {
	return Prices{
		Schema: PricesSchema, Day: time.Date(2026, 3, 31, 0, 0, 0, 0, time.UTC), Currency: "USD", Source: docBilling + "; " + docLimits,
		Tiers: map[Kind][]Tier{
			Software: {{1000, 200, 1000, 500}, {2000, 300, 1000, 0}, {4000, 500, 1000, 0}, {10000, 1300, 1000, 0}, {20000, 2500, 1000, 0}},
			Hardware: {{2000, 300, 1000, 1799}, {4000, 500, 1000, 0}, {6000, 700, 1000, 0}, {8000, 900, 1000, 0}},
		},
		Daily:         map[Kind]float64{Software: 4.5, Hardware: 9},
		KeyVersionDay: 0.03, SecretDay: 0.013, QPSDay: 0.5, Call10kMainland: 0.08, Call10kAbroad: 0.03,
	}
}

// ReadPrices reads a price list from JSON.
func ReadPrices(r io.Reader) (Prices, error) {
	var p Prices
	if err := readJSON(r, "prices", PricesSchema, &p); err != nil {
		return Prices{}, err
	}
	return p, p.Validate()
}

// Write saves p as indented JSON.
func (p Prices) Write(w io.Writer) error {
	p.Schema = PricesSchema
	return writeJSON(w, "prices", p)
}

// Validate reports what makes p unusable: no day, no tier of a kind, tiers out of order, a price below zero.
func (p Prices) Validate() error {
	if p.Day.IsZero() || p.Currency == "" {
		return fmt.Errorf("plan: prices: day or currency is missing: %w", kmsmigrate.ErrInvalid)
	}
	if min(p.KeyVersionDay, p.SecretDay, p.QPSDay, p.Call10kMainland, p.Call10kAbroad) < 0 {
		return fmt.Errorf("plan: prices: one is below zero: %w", kmsmigrate.ErrInvalid)
	}
	for _, kind := range []Kind{Software, Hardware} {
		tiers := p.Tiers[kind]
		if len(tiers) == 0 || p.Daily[kind] < 0 {
			return invalidField("prices", "tiers."+string(kind), "is empty, or its daily price below zero")
		}
		for i, t := range tiers {
			if t.QPS <= 0 || t.Month < 0 || i > 0 && t.QPS <= tiers[i-1].QPS {
				return invalidField("prices", fmt.Sprintf("tiers.%s[%d]", kind, i), "is not larger than the one before, or has a number below zero")
			}
		}
	}
	return nil
}
