package kmsotel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/keytest"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmsotel"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// observed has a reader of metrics, a recorder of spans, and an observer that feeds them.
func observed(t *testing.T) (*kmsotel.Observer, *tracetest.SpanRecorder, *sdkmetric.ManualReader) {
	t.Helper()
	spans, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
	observer, err := kmsotel.New(kmsotel.Config{
		Meter:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test"),
		Tracer: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test"),
	})
	require.NoError(t, err)
	return observer, spans, reader
}

func points(t *testing.T, reader *sdkmetric.ManualReader, name string) []metricdata.HistogramDataPoint[float64] {
	t.Helper()
	var data metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &data))
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name == name {
				return m.Data.(metricdata.Histogram[float64]).DataPoints
			}
		}
	}
	return nil
}

func TestOperationsBecomeSpansAndDurations(t *testing.T) {
	t.Parallel()
	observer, spans, reader := observed(t)
	old, next := keytest.New(keytest.Config{KMS1: true}), keytest.New(keytest.Config{})
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Phase: kmsmigrate.Rewrite, Old: old, New: next, Observer: observer})
	require.NoError(t, err)
	const planted, value = "planted-plaintext-51", "planted-value-77"
	ec := kmsmigrate.EncryptionContext{"name": value}
	blob, err := old.Encrypt(t.Context(), []byte(planted), ec)
	require.NoError(t, err)
	_, err = client.Renew(kmsmigrate.Background(t.Context()), blob, ec)
	require.NoError(t, err)
	old.Disable()
	_, err = client.Open(t.Context(), blob, ec)
	require.Error(t, err)

	var names []string
	for _, span := range spans.Ended() {
		names = append(names, span.Name())
		text := fmt.Sprint(span.Attributes(), span.Events(), span.Status())
		require.NotContains(t, text, planted)
		require.NotContains(t, text, value)
		require.Contains(t, text, "keyhaul.key")
	}
	require.Equal(t, []string{"kms decrypt", "kms encrypt", "kms verify", "kms decrypt"}, names)
	last := spans.Ended()[3]
	require.Equal(t, codes.Error, last.Status().Code)
	require.Contains(t, fmt.Sprint(last.Attributes()), "Rejected.Disabled")

	outcomes := map[string]uint64{}
	for _, p := range points(t, reader, "keyhaul.kms.operation.duration") {
		what, _ := p.Attributes.Value("keyhaul.outcome")
		outcomes[what.AsString()] += p.Count
		require.NotContains(t, fmt.Sprint(p.Attributes.ToSlice()), old.Ref().KeyID, "key ids would make a series each")
	}
	require.Equal(t, map[string]uint64{"ok": 3, "key state": 1}, outcomes)
}

func TestAttemptsBecomeClientSpans(t *testing.T) {
	t.Parallel()
	observer, spans, reader := observed(t)
	attempts := observer.Attempts()
	for i, err := range []error{kmsmigrate.ErrThrottled, nil, errors.New("odd"), context.DeadlineExceeded} {
		a := alikms.Attempt{Op: "Encrypt", Number: i + 1, Key: kmsmigrate.KeyRef{Endpoint: "kms.cn-hangzhou.aliyuncs.com"}}
		ctx := attempts.Start(t.Context(), a)
		a.Waited, a.Duration, a.Err = time.Second, 2*time.Second, err
		attempts.End(ctx, a)
	}
	require.Len(t, spans.Ended(), 4)
	require.Equal(t, "kms Encrypt", spans.Ended()[0].Name())
	var outcomes []string
	for _, p := range points(t, reader, "keyhaul.kms.attempt.wait") {
		require.InDelta(t, 1, p.Sum, 1e-9)
		what, _ := p.Attributes.Value("keyhaul.outcome")
		outcomes = append(outcomes, what.AsString())
	}
	require.ElementsMatch(t, []string{"throttled", "ok", "error", "deadline"}, outcomes)
	require.Len(t, points(t, reader, "keyhaul.kms.attempt.duration"), 4)
}

func TestAGatewayReportsItsRetriesAsSpansOfTheOperation(t *testing.T) {
	t.Parallel()
	cloud, err := kmstest.Start(kmstest.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cloud.Close()) })
	region, err := cloud.Region("cn-hangzhou")
	require.NoError(t, err)
	key, err := region.CreateKey(kmstest.KeySpec{})
	require.NoError(t, err)
	observer, spans, reader := observed(t)
	cfg := region.GatewayConfig()
	cfg.Observer, cfg.Side = observer.Attempts(), kmsmigrate.SideOld
	gateway, err := alikms.NewGateway(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, gateway.Close()) })
	old, err := gateway.Key(key.ID())
	require.NoError(t, err)
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: old, Observer: observer})
	require.NoError(t, err)

	const planted, value = "planted-plaintext-51", "planted-value-77"
	cloud.Inject(kmstest.Fault{Match: region.Match(), Times: 1, Status: 503, Message: planted})
	_, err = client.Encrypt(t.Context(), []byte(planted), kmsmigrate.EncryptionContext{"name": value})
	require.NoError(t, err)

	ended := spans.Ended()
	require.Len(t, ended, 3)
	operation := ended[2]
	require.Equal(t, "kms encrypt", operation.Name())
	for n, want := range []codes.Code{codes.Error, codes.Unset} {
		require.Equal(t, "kms Encrypt", ended[n].Name())
		require.Equal(t, trace.SpanKindClient, ended[n].SpanKind())
		require.Equal(t, want, ended[n].Status().Code)
		require.Equal(t, operation.SpanContext().SpanID(), ended[n].Parent().SpanID())
		require.Contains(t, ended[n].Attributes(), attribute.Int("keyhaul.attempt", n+1))
		require.Contains(t, ended[n].Attributes(), attribute.String("keyhaul.key", key.ID()))
	}
	require.Contains(t, ended[0].Attributes(), attribute.Int("http.response.status_code", 503))
	outcomes := map[string]uint64{}
	for _, p := range points(t, reader, "keyhaul.kms.attempt.duration") {
		what, _ := p.Attributes.Value("keyhaul.outcome")
		outcomes[what.AsString()] += p.Count
		require.Positive(t, p.Sum)
		require.Contains(t, p.Attributes.ToSlice(), attribute.String("keyhaul.side", kmsmigrate.SideOld.String()))
		require.Contains(t, p.Attributes.ToSlice(), attribute.String("server.address", region.HTTPS))
	}
	require.Equal(t, map[string]uint64{"ok": 1, "unavailable": 1}, outcomes)
	for _, span := range ended {
		text := fmt.Sprint(span.Attributes(), span.Events(), span.Status())
		for _, secret := range []string{planted, value, cfg.AccessKeySecret, "://"} {
			require.NotContains(t, text, secret)
		}
	}
}

func TestWithoutProvidersNothingHappens(t *testing.T) {
	t.Parallel()
	observer, err := kmsotel.New(kmsotel.Config{})
	require.NoError(t, err)
	old := keytest.New(keytest.Config{})
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: old, Observer: observer})
	require.NoError(t, err)
	_, err = client.Encrypt(t.Context(), []byte("x"), nil)
	require.NoError(t, err)
	observer.Attempts().End(observer.Attempts().Start(t.Context(), alikms.Attempt{}), alikms.Attempt{})
}

func ExampleNew() {
	spans := tracetest.NewSpanRecorder() // a program has an exporter here
	observer, err := kmsotel.New(kmsotel.Config{Tracer: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("app")})
	if err != nil {
		fmt.Println(err)
		return
	}
	client, err := kmsmigrate.NewClient(kmsmigrate.Config{Old: keytest.New(keytest.Config{}), Observer: observer})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Encrypt(context.Background(), []byte("x"), nil)
	fmt.Println(strings.TrimSpace(spans.Ended()[0].Name()), err)
	// Output: kms encrypt <nil>
}
