// Package kmsotel shows KMS operations to OpenTelemetry, as metrics and as traces. It links the API of OpenTelemetry only:
// without a provider in the program it does nothing.
//
// [New] makes an [Observer], which goes into kmsmigrate.Config.Observer:
//
//	observer, err := kmsotel.New(kmsotel.Config{Meter: otel.Meter("app"), Tracer: otel.Tracer("app")})
//	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Observer: observer, …})
//
// [Observer.Attempts] is for the Observer of alikms.GatewayConfig and alikms.InstanceConfig, where each request of an operation
// is seen: the retries, and how long it waited for its turn.
//
// No attribute holds a plaintext, a ciphertext, a context value, a credential or a URL.
package kmsotel

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
)

// Config says where to report. Either may be nil: then there are no metrics, or no traces.
type Config struct {
	Meter  metric.Meter
	Tracer trace.Tracer
}

// Observer reports operations. It implements kmsmigrate.Observer and is safe for concurrent use. Make it with [New].
//
// Metrics: keyhaul.kms.operation.duration and keyhaul.kms.attempt.duration, histograms in seconds, and
// keyhaul.kms.attempt.wait, the time for which a request waited for its turn. Spans: "kms decrypt" for an operation, and
// "kms Decrypt" with the service's own word for a request.
type Observer struct {
	tracer     trace.Tracer
	operations metric.Float64Histogram
	attempts   metric.Float64Histogram
	waits      metric.Float64Histogram
}

// New makes an Observer. It fails where the meter refuses an instrument.
func New(cfg Config) (*Observer, error) {
	o := &Observer{tracer: cfg.Tracer}
	if cfg.Meter == nil {
		return o, nil
	}
	for name, into := range map[string]struct {
		instrument  *metric.Float64Histogram
		description string
	}{
		"keyhaul.kms.operation.duration": {&o.operations, "How long operations on a key took, retries included."},
		"keyhaul.kms.attempt.duration":   {&o.attempts, "How long requests to a KMS endpoint took."},
		"keyhaul.kms.attempt.wait":       {&o.waits, "How long requests to a KMS endpoint waited for their turn."},
	} {
		made, err := cfg.Meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(into.description))
		if err != nil {
			return nil, fmt.Errorf("kmsotel: %s: %w", name, err)
		}
		*into.instrument = made
	}
	return o, nil
}

// Start implements kmsmigrate.Observer: it starts a span.
func (o *Observer) Start(ctx context.Context, e kmsmigrate.Event) context.Context {
	if o.tracer == nil {
		return ctx
	}
	ctx, _ = o.tracer.Start(ctx, "kms "+e.Op)
	return ctx
}

// End implements kmsmigrate.Observer: it ends the span and records how long the operation took.
func (o *Observer) End(ctx context.Context, e kmsmigrate.Event) {
	attributes := []attribute.KeyValue{
		attribute.String("keyhaul.op", e.Op),
		attribute.String("keyhaul.side", e.Side.String()),
		attribute.Bool("keyhaul.background", e.Background),
		attribute.String("keyhaul.outcome", outcome(e.Err)),
	}
	if o.operations != nil {
		o.operations.Record(ctx, e.Duration.Seconds(), metric.WithAttributes(attributes...))
	}
	if o.tracer != nil {
		// The key is for spans alone: as a metric's attribute, every rotation would start a new series.
		attributes = append(attributes, attribute.Bool("keyhaul.trial", e.Trial))
		end(ctx, e.Err, append(attributes, keyAttributes(e.Key)...))
	}
}

// Attempts returns an observer of single requests that reports to the same places.
func (o *Observer) Attempts() alikms.Observer { return attempts{o} }

type attempts struct{ o *Observer }

func (a attempts) Start(ctx context.Context, at alikms.Attempt) context.Context {
	if a.o.tracer == nil {
		return ctx
	}
	ctx, _ = a.o.tracer.Start(ctx, "kms "+at.Op, trace.WithSpanKind(trace.SpanKindClient))
	return ctx
}

func (a attempts) End(ctx context.Context, at alikms.Attempt) {
	attributes := []attribute.KeyValue{
		attribute.String("keyhaul.op", at.Op),
		attribute.String("keyhaul.side", at.Side.String()),
		attribute.String("server.address", at.Key.Endpoint),
		attribute.Bool("keyhaul.background", at.Background),
		attribute.String("keyhaul.outcome", outcome(at.Err)),
	}
	if a.o.attempts != nil {
		a.o.attempts.Record(ctx, at.Duration.Seconds(), metric.WithAttributes(attributes...))
		a.o.waits.Record(ctx, at.Waited.Seconds(), metric.WithAttributes(attributes...))
	}
	if a.o.tracer != nil {
		attributes = append(attributes, attribute.Int("keyhaul.attempt", at.Number), attribute.Float64("keyhaul.waited", at.Waited.Seconds()))
		end(ctx, at.Err, append(attributes, keyAttributes(at.Key)...))
	}
}

func end(ctx context.Context, err error, attributes []attribute.KeyValue) {
	span := trace.SpanFromContext(ctx)
	span.SetAttributes(attributes...)
	if err != nil {
		span.SetStatus(codes.Error, outcome(err))
		var e *kmsmigrate.Error
		if errors.As(err, &e) {
			span.SetAttributes(attribute.String("keyhaul.code", e.Code), attribute.Int("http.response.status_code", e.HTTPStatus), attribute.String("keyhaul.request_id", e.RequestID))
		}
	}
	span.End()
}

func keyAttributes(key kmsmigrate.KeyRef) []attribute.KeyValue {
	if key.KeyID == "" && key.VersionID == "" {
		return nil
	}
	return []attribute.KeyValue{attribute.String("keyhaul.key", key.KeyID), attribute.String("keyhaul.key_version", key.VersionID)}
}

// outcome names the class of an error, so that a metric has a handful of series and not one for each text.
func outcome(err error) string {
	for _, class := range []struct {
		err  error
		name string
	}{
		{nil, "ok"},
		{kmsmigrate.ErrForeign, "foreign"},
		{kmsmigrate.ErrThrottled, "throttled"},
		{kmsmigrate.ErrDenied, "denied"},
		{kmsmigrate.ErrKeyState, "key state"},
		{kmsmigrate.ErrUnavailable, "unavailable"},
		{kmsmigrate.ErrBadAnswer, "bad answer"},
		{kmsmigrate.ErrInvalid, "invalid"},
		{context.Canceled, "canceled"},
		{context.DeadlineExceeded, "deadline"},
	} {
		if errors.Is(err, class.err) {
			return class.name
		}
	}
	return "error"
}
