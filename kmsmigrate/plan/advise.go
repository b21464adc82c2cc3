package plan

import (
	"fmt"
	"math"
	"slices"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// Demand is what an instance has to carry.
type Demand struct {
	QPS      float64 `json:"qps"`                 // symmetric calls a second at the peak, measured or given
	AsymQPS  float64 `json:"asym_qps,omitempty"`  // asymmetric ones
	SweepQPS float64 `json:"sweep_qps,omitempty"` // what the sweep adds, on the side of the new key
	FIPS     bool    `json:"fips,omitempty"`
	// ChineseCrypto says that SM2 or SM4 keys, or GM/T certified HSMs, are asked for.
	ChineseCrypto bool `json:"chinese_crypto,omitempty"`
	// CloudProductsOnly says that no application encrypts with it, only cloud products do.
	CloudProductsOnly bool `json:"cloud_products_only,omitempty"`
	// Network is the way that the applications' calls take. Empty: not known, and no cap of a network is counted.
	Network Network `json:"network,omitempty"`
}

// Network is a way to a key of an instance.
type Network string

// The ways. What each carries is a rule of its own: advise.network-public, advise.network-vpc, advise.network-instance.
const (
	NetworkPublic   Network = "public"   // kms.<region>, over the Internet
	NetworkVPC      Network = "vpc"      // kms-vpc.<region>, the shared gateway's VPC address
	NetworkInstance Network = "instance" // the instance's own address, from its VPC
)

// The caps of the shared gateway, for an account in a region (performance data): symmetric and asymmetric calls a second.
const sharedQPS, sharedAsymQPS = 1000, 200

// rule returns the rule that says what n carries, and whether it is capped whatever the tier; false where n is none of the ways.
func (n Network) rule() (name string, capped, ok bool) {
	switch n {
	case "":
		return "", false, true
	case NetworkPublic:
		return "advise.network-public", true, true
	case NetworkVPC:
		return "advise.network-vpc", true, true
	case NetworkInstance:
		return "advise.network-instance", false, true
	}
	return "", false, false
}

// Option is an instance that could be bought.
type Option struct {
	Kind     Kind    `json:"kind"`
	Billing  Billing `json:"billing"`
	Tier     Tier    `json:"tier"`
	Eligible bool    `json:"eligible"`
	// Month is the price of 30 days; Priced is false where the list does not have it.
	Month  float64 `json:"month"`
	Priced bool    `json:"priced"`
	// AsIs keys move as they are; Anew keys need re-encryption or a new signing key.
	AsIs       int       `json:"as_is"`
	Anew       int       `json:"anew"`
	Findings   []Finding `json:"findings"`
	Arithmetic []string  `json:"arithmetic"`
}

// Billing is a billing method.
type Billing string

// The billing methods.
const (
	Subscription Billing = "subscription"
	PayAsYouGo   Billing = "pay-as-you-go"
)

// Advice is which instance to buy for one move.
type Advice struct {
	Prices  Prices   `json:"prices"`
	Options []Option `json:"options"` // the advised one first
}

// Advised returns the option to buy; false where none is eligible.
func (a Advice) Advised() (Option, bool) {
	if len(a.Options) == 0 || !a.Options[0].Eligible {
		return Option{}, false
	}
	return a.Options[0], true
}

// Advise compares the four ways to buy the target of goal.Moves[move]: software or hardware, subscription or pay-as-you-go. What each kind can take is
// found by assessing inv for it, so that all rules count. Options are ordered: eligible ones first, then what the documents recommend, then what
// moves more keys as they are, then software before hardware, then the price.
func Advise(inv Inventory, goal Goal, move int, demand Demand, prices Prices) (Advice, error) {
	if move < 0 || move >= len(goal.Moves) {
		return Advice{}, fmt.Errorf("plan: advise: the goal has no move %d: %w", move, kmsmigrate.ErrInvalid)
	}
	if min(demand.QPS, demand.AsymQPS, demand.SweepQPS) < 0 || math.IsNaN(demand.QPS+demand.AsymQPS+demand.SweepQPS) {
		return Advice{}, fmt.Errorf("plan: advise: a QPS is below zero: %w", kmsmigrate.ErrInvalid)
	}
	if _, _, ok := demand.Network.rule(); !ok {
		return Advice{}, fmt.Errorf("plan: advise: network %q is none of public, vpc and instance: %w", demand.Network, kmsmigrate.ErrInvalid)
	}
	if err := prices.Validate(); err != nil {
		return Advice{}, err
	}
	advice := Advice{Prices: prices}
	takes := map[Kind]tally{}
	for _, kind := range []Kind{Software, Hardware} {
		count, err := takesAsIs(inv, goal, move, kind)
		if err != nil {
			return Advice{}, err
		}
		takes[kind] = count
	}
	for _, kind := range []Kind{Software, Hardware} {
		other := Hardware
		if kind == Hardware {
			other = Software
		}
		for _, billing := range []Billing{Subscription, PayAsYouGo} {
			o := option(kind, billing, takes[kind], demand, prices)
			if takes[other].asItIs > takes[kind].asItIs {
				o.find("advise.move-fewer", fmt.Sprintf("%s takes %d as they are, %s %d", other, takes[other].asItIs, kind, takes[kind].asItIs))
			}
			advice.Options = append(advice.Options, o)
		}
	}
	slices.SortStableFunc(advice.Options, func(a, b Option) int { return a.rank(demand).compare(b.rank(demand)) })
	return advice, nil
}

// takesAsIs counts, for a target of that kind, what moves as it is and what does not.
func takesAsIs(inv Inventory, goal Goal, move int, kind Kind) (tally, error) {
	m := goal.Moves[move]
	m.Target.Kind = kind
	goal.Moves = []Move{m}
	a, err := Assess(inv, goal)
	if err != nil {
		return tally{}, err
	}
	var mine []Verdict
	for _, v := range a.Resources {
		if v.Region == m.From && (m.Account == "" || m.Account == v.Account) {
			mine = append(mine, v)
		}
	}
	return counts(mine), nil
}

func (o *Option) find(rule, about string) {
	o.Findings = append(o.Findings, Finding{Rule: rule, About: about})
}

func (o *Option) show(format string, args ...any) {
	o.Arithmetic = append(o.Arithmetic, fmt.Sprintf(format, args...))
}

const highTraffic = 1000 // QPS from which the document speaks of 2,000 and 4,000

func option(kind Kind, billing Billing, count tally, d Demand, prices Prices) Option {
	o := Option{Kind: kind, Billing: billing, Eligible: true, AsIs: count.asItIs, Anew: count.fresh}
	need := d.QPS + d.SweepQPS
	o.show("load: %.0f QPS + %.0f of the sweep = %.0f QPS", d.QPS, d.SweepQPS, need)
	at := slices.IndexFunc(prices.Tiers[kind], func(t Tier) bool { return float64(t.QPS) >= need && float64(t.Asym) >= d.AsymQPS })
	if at < 0 {
		o.Eligible = false
		at = len(prices.Tiers[kind]) - 1
		o.find("advise.qps-too-high", fmt.Sprintf("%.0f QPS, the largest is %d", need, prices.Tiers[kind][at].QPS))
	}
	o.Tier = prices.Tiers[kind][at]
	o.find("advise.qps-tier", fmt.Sprintf("%d QPS", o.Tier.QPS))
	if need > highTraffic {
		o.find("advise.qps-high", fmt.Sprintf("%.0f QPS", need))
	}
	if rule, capped, _ := d.Network.rule(); rule != "" {
		o.find(rule, fmt.Sprintf("%.0f QPS, %.0f asymmetric", need, d.AsymQPS))
		if capped && (need > sharedQPS || d.AsymQPS > sharedAsymQPS) {
			o.Eligible = false
			o.find("advise.network-cap", fmt.Sprintf("%.0f QPS and %.0f asymmetric, over %s at most %d and %d", need, d.AsymQPS, d.Network, sharedQPS, sharedAsymQPS))
		}
	}
	if d.FIPS {
		o.find("advise.fips", "")
	}
	if d.ChineseCrypto {
		o.find("advise.chinese-crypto", "")
	}
	if (d.FIPS || d.ChineseCrypto) && kind == Software {
		o.Eligible = false
	}
	o.find("advise.key-quota", fmt.Sprintf("%d versions, %d included", count.keyVersions, o.Tier.Keys))
	if d.CloudProductsOnly {
		o.find("advise.pay-as-you-go", "")
	} else {
		o.find("advise.subscription", "")
	}
	o.price(count, need, prices)
	if !o.Priced {
		o.find("advise.no-price", fmt.Sprintf("%d QPS, %d key versions; list of %s", o.Tier.QPS, count.keyVersions, date(prices.Day)))
	}
	return o
}

func (o *Option) price(count tally, need float64, p Prices) {
	if o.Billing == Subscription {
		o.Priced = o.Tier.Month > 0 && count.keyVersions <= o.Tier.Keys
		o.Month = o.Tier.Month
		switch {
		case o.Priced:
			o.show("%s %.2f a month for %d QPS and %d key versions = %s %.2f", p.Currency, o.Tier.Month, o.Tier.QPS, o.Tier.Keys, p.Currency, o.Month)
		case o.Tier.Month == 0:
			o.show("%d QPS: the list of %s has no price, ask for it", o.Tier.QPS, date(p.Day))
		default:
			o.show("%d key versions are more than the %d included: the list has no price for more, ask for it", count.keyVersions, o.Tier.Keys)
		}
		return
	}
	qps := math.Ceil(need)
	versions, secrets := float64(count.keyVersions), float64(count.secrets)
	day := p.Daily[o.Kind] + versions*p.KeyVersionDay + secrets*p.SecretDay + qps*p.QPSDay
	o.Priced, o.Month = true, 30*day
	o.show("a day: %.2f for the instance + %.0f key versions x %.3f + %.0f secrets x %.3f + %.0f QPS (highest minute, rounded up) x %.2f = %s %.2f",
		p.Daily[o.Kind], versions, p.KeyVersionDay, secrets, p.SecretDay, qps, p.QPSDay, p.Currency, day)
	o.show("30 days x %.2f = %s %.2f", day, p.Currency, o.Month)
}

// rank is what options are ordered by, smallest first.
type rank struct {
	eligible, billing, anew, kind, unpriced int
	month                                   float64
}

func (o Option) rank(d Demand) rank {
	var r rank
	if !o.Eligible {
		r.eligible = 1
	}
	// The documents recommend pay-as-you-go for cloud products alone, whatever the arithmetic says.
	if o.Billing == PayAsYouGo && !d.CloudProductsOnly {
		r.billing = 1
	}
	r.anew, r.month = o.Anew, o.Month
	// A hardware instance needs an HSM cluster of one's own, which no list of the KMS prices: it is taken where something asks for it.
	if o.Kind == Hardware {
		r.kind = 1
	}
	if !o.Priced {
		r.unpriced = 1
	}
	return r
}

func (r rank) compare(o rank) int {
	for _, d := range []int{r.eligible - o.eligible, r.billing - o.billing, r.anew - o.anew, r.kind - o.kind, r.unpriced - o.unpriced} {
		if d != 0 {
			return d
		}
	}
	switch {
	case r.month < o.month:
		return -1
	case r.month > o.month:
		return 1
	default:
		return 0
	}
}
