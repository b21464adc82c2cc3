package kmstest

import (
	"maps"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// QuotaClass groups the operations that the shared gateway counts together, per account and region. Encrypt, Decrypt and the two
// GenerateDataKey operations each have a limit of their own, of the same size.
type QuotaClass string

// The classes, as the performance data page of the KMS documents has them.
const (
	Symmetric      QuotaClass = "symmetric"
	ReEncryption   QuotaClass = "re-encryption"
	Asymmetric     QuotaClass = "asymmetric"
	KeyReads       QuotaClass = "key reads"
	KeyWrites      QuotaClass = "key writes"
	KeyCreation    QuotaClass = "key creation"
	TagReads       QuotaClass = "tag reads"
	SecretReads    QuotaClass = "secret reads"
	SecretCreation QuotaClass = "secret creation"
	SecretWrites   QuotaClass = "secret writes"
	InstanceReads  QuotaClass = "instance reads"
	Account        QuotaClass = "account"
)

// Quotas are requests per second by class. A class that is not in it is not limited.
type Quotas map[QuotaClass]int

// DocumentedQuotas are the limits of the real shared gateway.
func DocumentedQuotas() Quotas {
	return Quotas{Symmetric: 1000, ReEncryption: 750, Asymmetric: 200, KeyReads: 50, KeyWrites: 30, KeyCreation: 10, TagReads: 300,
		SecretReads: 450, SecretCreation: 10, SecretWrites: 40, InstanceReads: 50, Account: 1}
}

// SetQuotas makes the region's shared gateway throttle: what exceeds a class's requests per second, with a burst of as many, is answered
// 429 Rejected.Throttling. Nil, the state at first, ends it. Instances never throttle; give them Fault.Latency.
func (r *Region) SetQuotas(q Quotas) { r.cloud.quotas.set(r.ID, q) }

// SetQuotaBurst sets for how long what a quota has left over is kept: a burst of that time's requests, and of one at least, is let through.
// Without it that is a second. The documents do not tell.
func (r *Region) SetQuotaBurst(d time.Duration) { r.cloud.quotas.setBurst(r.ID, d) }

// quotas holds the buckets of all regions. A bucket runs in real time, for so do clients.
type quotas struct {
	mu      sync.Mutex
	limits  map[string]Quotas
	bursts  map[string]time.Duration
	buckets map[bucketOf]*rate.Limiter
}

type bucketOf struct{ region, name string }

func (q *quotas) set(region string, limits Quotas) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.limits == nil {
		q.limits, q.buckets = map[string]Quotas{}, map[bucketOf]*rate.Limiter{}
	}
	q.limits[region] = maps.Clone(limits)
	maps.DeleteFunc(q.buckets, func(b bucketOf, _ *rate.Limiter) bool { return b.region == region })
}

func (q *quotas) setBurst(region string, d time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bursts == nil {
		q.bursts = map[string]time.Duration{}
	}
	q.bursts[region] = d
	maps.DeleteFunc(q.buckets, func(b bucketOf, _ *rate.Limiter) bool { return b.region == region })
}

// burst is how many requests come at once at most.
func (q *quotas) burst(region string, limit int) int {
	d, set := q.bursts[region]
	if !set {
		return limit
	}
	return max(1, int(d.Seconds()*float64(limit)))
}

// admits takes one request out of its bucket.
func (c *Cloud) admits(region string, class QuotaClass, action string) bool {
	q := &c.quotas
	q.mu.Lock()
	defer q.mu.Unlock()
	limit, limited := q.limits[region][class]
	if !limited {
		return true
	}
	name := string(class)
	if class == Symmetric {
		name = action
	}
	b := q.buckets[bucketOf{region, name}]
	if b == nil {
		b = rate.NewLimiter(rate.Limit(limit), q.burst(region, limit))
		q.buckets[bucketOf{region, name}] = b
	}
	return b.Allow()
}
