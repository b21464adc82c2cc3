package plan_test

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/plan"
)

func advise(t *testing.T, inv plan.Inventory, d plan.Demand) plan.Advice {
	t.Helper()
	a, err := plan.Advise(inv, moveTo("cn-hangzhou", "cn-hangzhou", plan.Software), 0, d, plan.DefaultPrices())
	require.NoError(t, err)
	require.Len(t, a.Options, 4)
	return a
}

// adviceCases have, for each rule of Advise, a demand in which the advised option names it.
func adviceCases() map[string]struct {
	inv    plan.Inventory
	demand plan.Demand
} {
	aes, rsa := estate(place("cn-hangzhou", keys(aKey()))), estate(place("cn-hangzhou", keys(aKey(spec("RSA_2048")))))
	return map[string]struct {
		inv    plan.Inventory
		demand plan.Demand
	}{
		"advise.fips":             {aes, plan.Demand{FIPS: true}},
		"advise.chinese-crypto":   {aes, plan.Demand{ChineseCrypto: true}},
		"advise.move-fewer":       {rsa, plan.Demand{FIPS: true}},
		"advise.qps-tier":         {aes, plan.Demand{QPS: 10}},
		"advise.qps-high":         {aes, plan.Demand{QPS: 1500}},
		"advise.qps-too-high":     {aes, plan.Demand{QPS: 50000}},
		"advise.network-public":   {aes, plan.Demand{QPS: 900, Network: plan.NetworkPublic}},
		"advise.network-vpc":      {aes, plan.Demand{QPS: 900, Network: plan.NetworkVPC}},
		"advise.network-instance": {aes, plan.Demand{QPS: 1500, Network: plan.NetworkInstance}},
		"advise.network-cap":      {aes, plan.Demand{QPS: 1500, Network: plan.NetworkVPC}},
		"advise.no-price":         {aes, plan.Demand{QPS: 1500}},
		"advise.key-quota":        {aes, plan.Demand{}},
		"advise.subscription":     {aes, plan.Demand{}},
		"advise.pay-as-you-go":    {aes, plan.Demand{CloudProductsOnly: true}},
	}
}

func TestEachRuleOfTheAdviceIsFound(t *testing.T) {
	t.Parallel()
	for rule, c := range adviceCases() {
		require.Contains(t, names(advise(t, c.inv, c.demand).Options[0].Findings), rule)
	}
}

func TestTheAdviceFollowsTheDocument(t *testing.T) {
	t.Parallel()
	aes := estate(place("cn-hangzhou", keys(aKey())))
	for _, c := range []struct {
		cell    string
		inv     plan.Inventory
		demand  plan.Demand
		kind    plan.Kind
		billing plan.Billing
		qps     int
	}{
		{"small application", aes, plan.Demand{QPS: 10}, plan.Software, plan.Subscription, 1000},
		{"high traffic, 2,000 QPS", aes, plan.Demand{QPS: 1500, SweepQPS: 300}, plan.Software, plan.Subscription, 2000},
		{"high traffic, 4,000 QPS", aes, plan.Demand{QPS: 1900, SweepQPS: 300}, plan.Software, plan.Subscription, 4000},
		{"exactly the tier", aes, plan.Demand{QPS: 1000}, plan.Software, plan.Subscription, 1000},
		{"many asymmetric calls", aes, plan.Demand{AsymQPS: 450}, plan.Software, plan.Subscription, 4000},
		{"FIPS", aes, plan.Demand{FIPS: true}, plan.Hardware, plan.Subscription, 2000},
		{"Chinese commercial cryptography", aes, plan.Demand{ChineseCrypto: true}, plan.Hardware, plan.Subscription, 2000},
		{"cloud products only", aes, plan.Demand{QPS: 10, CloudProductsOnly: true}, plan.Software, plan.PayAsYouGo, 1000},
		{"cloud products only, where a subscription is cheaper", aes, plan.Demand{QPS: 900, CloudProductsOnly: true}, plan.Software, plan.Subscription, 1000},
		{"keys that only hardware takes", estate(place("cn-hangzhou", keys(aKey(hsm, spec("Aliyun_SM4"))))), plan.Demand{}, plan.Hardware, plan.Subscription, 2000},
		{"keys that only software takes", estate(place("cn-hangzhou", keys(aKey(spec("RSA_2048"))))), plan.Demand{}, plan.Software, plan.Subscription, 1000},
	} {
		got, ok := advise(t, c.inv, c.demand).Advised()
		require.True(t, ok, c.cell)
		require.Equal(t, c.kind, got.Kind, c.cell)
		require.Equal(t, c.billing, got.Billing, c.cell)
		require.Equal(t, c.qps, got.Tier.QPS, c.cell)
		require.NotEmpty(t, got.Arithmetic)
	}
	_, ok := advise(t, aes, plan.Demand{QPS: 50000}).Advised()
	require.False(t, ok)
}

// What each network path carries: the tier counts for the instance's own address only.
func TestANetworkPathHasItsCap(t *testing.T) {
	t.Parallel()
	aes := estate(place("cn-hangzhou", keys(aKey())))
	for _, c := range []struct {
		network plan.Network
		demand  plan.Demand
		carried bool
	}{
		{plan.NetworkPublic, plan.Demand{QPS: 700, SweepQPS: 300}, true},
		{plan.NetworkPublic, plan.Demand{QPS: 700, SweepQPS: 301}, false},
		{plan.NetworkVPC, plan.Demand{QPS: 1000}, true},
		{plan.NetworkVPC, plan.Demand{QPS: 10, AsymQPS: 201}, false},
		{plan.NetworkInstance, plan.Demand{QPS: 3500, AsymQPS: 201}, true},
		{"", plan.Demand{QPS: 3500}, true},
	} {
		c.demand.Network = c.network
		_, ok := advise(t, aes, c.demand).Advised()
		require.Equal(t, c.carried, ok, "%+v", c)
	}
	_, err := plan.Advise(aes, moveTo("cn-hangzhou", "cn-hangzhou", plan.Software), 0, plan.Demand{Network: "carrier pigeon"}, plan.DefaultPrices())
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	require.Contains(t, err.Error(), "carrier pigeon")
}

func TestPayAsYouGoIsAddedUpInTheOpen(t *testing.T) {
	t.Parallel()
	a := advise(t, estate(place("cn-hangzhou", keys(aKey(multi)), aSecret())), plan.Demand{QPS: 99.2, CloudProductsOnly: true})
	o := a.Options[0]
	for _, other := range a.Options {
		if other.Kind == plan.Software && other.Billing == plan.PayAsYouGo {
			o = other
		}
	}
	// 4.5 + 2 x 0.03 + 1 x 0.013 + 100 x 0.5 = 54.573 a day
	require.InDelta(t, 30*54.573, o.Month, 1e-9)
	require.Contains(t, strings.Join(o.Arithmetic, "\n"), "100 QPS (highest minute, rounded up) x 0.50 = USD 54.57")
}

func TestPricesCanBeReplacedAndAreChecked(t *testing.T) {
	t.Parallel()
	prices := plan.DefaultPrices()
	prices.Tiers[plan.Software][0].Month = 1
	var file bytes.Buffer
	require.NoError(t, prices.Write(&file))
	back, err := plan.ReadPrices(&file)
	require.NoError(t, err)
	a, err := plan.Advise(estate(place("cn-hangzhou", keys(aKey()))), moveTo("cn-hangzhou", "cn-hangzhou", plan.Software), 0, plan.Demand{}, back)
	require.NoError(t, err)
	require.InDelta(t, 1.0, a.Options[0].Month, 0)
	for name, change := range map[string]func(*plan.Prices){
		"no day": func(p *plan.Prices) { p.Day = time.Time{} }, "no currency": func(p *plan.Prices) { p.Currency = "" },
		"below zero": func(p *plan.Prices) { p.QPSDay = -1 }, "no tiers": func(p *plan.Prices) { delete(p.Tiers, plan.Hardware) },
		"out of order": func(p *plan.Prices) { p.Tiers[plan.Software][1].QPS = 10 },
	} {
		p := plan.DefaultPrices()
		change(&p)
		require.ErrorIs(t, p.Validate(), kmsmigrate.ErrInvalid, name)
		_, err := plan.Advise(plan.Inventory{}, moveTo("a", "b", plan.Software), 0, plan.Demand{}, p)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, name)
		_, err = plan.EstimateSweep(plan.Load{}, plan.Endpoint{}, plan.Endpoint{}, p)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, name)
	}
	_, err = plan.Advise(plan.Inventory{}, plan.Goal{}, 0, plan.Demand{}, plan.DefaultPrices())
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	_, err = plan.Advise(plan.Inventory{}, moveTo("a", "b", plan.Software), 0, plan.Demand{QPS: math.NaN()}, plan.DefaultPrices())
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
}

func TestAnEstimateIsArithmetic(t *testing.T) {
	t.Parallel()
	old, next := plan.Endpoint{QPS: 1000, Share: 0.3}, plan.Endpoint{QPS: 2000, Share: 0.5, Kind: plan.Software, PayAsYouGo: true}
	got, err := plan.EstimateSweep(plan.Load{Records: 1_000_000}, old, next, plan.DefaultPrices())
	require.NoError(t, err)
	rewrap, direct, table := got[0], got[1], got[2]
	require.Equal(t, plan.ModeRewrap, rewrap.Mode)
	require.EqualValues(t, 1_000_000, rewrap.Old)
	require.EqualValues(t, 2_000_000, rewrap.New)
	// old: 1,000,000 / 300 = 3,333 s; new: 2,000,000 / 1,000 = 2,000 s
	require.InDelta(t, 3333.3, rewrap.Takes.Seconds(), 0.1)
	require.InDelta(t, 600, rewrap.PeakQPS, 0.1)
	require.InDelta(t, 600*0.5*2, rewrap.Bill, 1e-9)
	require.False(t, direct.Possible)
	require.Contains(t, direct.Why, "same one")
	require.False(t, table.Possible, "each record has its own data key")

	old.SharedGateway, next.SharedGateway = "cn-hangzhou", "cn-hangzhou"
	got, err = plan.EstimateSweep(plan.Load{Records: 1_000_000, DataKeys: 100, Batch: 1000}, old, next, plan.DefaultPrices())
	require.NoError(t, err)
	require.EqualValues(t, 100_000, got[0].Old, "100 data keys in each of 1,000 batches")
	require.True(t, got[1].Possible)
	require.InDelta(t, 100_000/(750*0.3), got[1].Takes.Seconds(), 0.1, "ReEncrypt has a quota of 750")
	require.EqualValues(t, 100, got[2].Old)
	require.EqualValues(t, 200, got[2].New)
	for _, e := range got {
		require.NotEmpty(t, e.Arithmetic)
	}
}

func TestEstimatesOfNothingAndOfNonsense(t *testing.T) {
	t.Parallel()
	got, err := plan.EstimateSweep(plan.Load{}, plan.Endpoint{}, plan.Endpoint{}, plan.DefaultPrices())
	require.NoError(t, err)
	require.Zero(t, got[0].Takes)
	for name, f := range map[string]func(l *plan.Load, old, next *plan.Endpoint){
		"records below zero":     func(l *plan.Load, _, _ *plan.Endpoint) { l.Records = -1 },
		"more keys than records": func(l *plan.Load, _, _ *plan.Endpoint) { l.DataKeys = 9 },
		"share over one":         func(_ *plan.Load, o, _ *plan.Endpoint) { o.Share = 1.1 },
		"no share":               func(_ *plan.Load, o, _ *plan.Endpoint) { o.Share = math.NaN() },
		"endless":                func(_ *plan.Load, _, n *plan.Endpoint) { n.QPS = math.Inf(1) },
		"billed and no kind":     func(_ *plan.Load, _, n *plan.Endpoint) { n.PayAsYouGo = true },
	} {
		l, old, next := plan.Load{Records: 5}, plan.Endpoint{}, plan.Endpoint{}
		f(&l, &old, &next)
		_, err := plan.EstimateSweep(l, old, next, plan.DefaultPrices())
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, name)
	}
	_, err = plan.LoadOf(kmsmigrate.Census{Records: 5}, 0)
	require.ErrorIs(t, err, kmsmigrate.ErrInvalid)
	load, err := plan.LoadOf(kmsmigrate.Census{Complete: true, Unreadable: 2, Counts: []kmsmigrate.Count{
		{Side: kmsmigrate.SideOld, Records: 5}, {Side: kmsmigrate.SideNew, Records: 7}, {Side: kmsmigrate.SideUnknown, Records: 1},
	}}, 3)
	require.NoError(t, err)
	require.Equal(t, plan.Load{Records: 8, DataKeys: 3}, load)
}

func TestEstimatesNeverPromiseLessThanOneCallADataKey(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.Int64Range(0, 1<<40).Draw(t, "records")
		load := plan.Load{Records: records, DataKeys: rapid.Int64Range(0, records).Draw(t, "keys"), Batch: rapid.Int64Range(1, 1e6).Draw(t, "batch")}
		got, err := plan.EstimateSweep(load, plan.Endpoint{}, plan.Endpoint{}, plan.DefaultPrices())
		require.NoError(t, err)
		require.GreaterOrEqual(t, got[0].Old, load.DataKeys)
		require.LessOrEqual(t, got[0].Old, load.Records)
		require.Equal(t, 2*got[0].Old, got[0].New)
		require.GreaterOrEqual(t, got[0].Takes, time.Duration(0))
	})
}
