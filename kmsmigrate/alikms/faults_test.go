package alikms_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/alibabacloud-go/tea/tea"
	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
)

// What the fault tests plant, to look for it in every error.
const (
	plantedText  = "plaintext-41c7-planted"
	plantedValue = "context-value-93ab-planted"
)

func plantedContext() kmsmigrate.EncryptionContext {
	return kmsmigrate.EncryptionContext{"tenant": plantedValue}
}

// requireSilent checks that no text that an error gives away holds what was planted, a URL or a credential.
func requireSilent(tb testing.TB, err error, more ...string) {
	tb.Helper()
	texts := []string{fmt.Sprintf("%v %+v", err, err)}
	var server *sdkerrors.ServerError
	if errors.As(err, &server) {
		texts = append(texts, server.Error(), server.Message())
	}
	var instance *tea.SDKError
	if errors.As(err, &instance) {
		texts = append(texts, instance.Error(), tea.StringValue(instance.Data))
	}
	for _, text := range texts {
		for _, secret := range append(more, "planted", "://", "Signature=") {
			require.NotContains(tb, text, secret)
		}
	}
}

type faultCase struct {
	fault    kmstest.Fault
	sentinel error
	attempts int  // of at most two
	final    bool // Retryable is false
}

func faultCases() map[string]faultCase {
	at := func(status int, code string) kmstest.Fault {
		return kmstest.Fault{Status: status, Code: code, Message: "no: " + plantedText + " " + plantedValue}
	}
	body := func(b kmstest.Body) kmstest.Fault { return kmstest.Fault{Body: b} }
	bad, down := kmsmigrate.ErrBadAnswer, kmsmigrate.ErrUnavailable
	return map[string]faultCase{
		"throttled":           {at(429, ""), kmsmigrate.ErrThrottled, 2, false},
		"throttled with 400":  {at(400, "Throttling"), kmsmigrate.ErrThrottled, 2, false},
		"internal":            {at(500, "InternalFailure"), down, 2, false},
		"unknown 5xx":         {at(502, "Odd.Code"), down, 2, false},
		"unavailable":         {at(503, ""), down, 2, false},
		"disabled":            {at(409, "Rejected.Disabled"), kmsmigrate.ErrKeyState, 1, true},
		"pending deletion":    {at(409, "Rejected.PendingDeletion"), kmsmigrate.ErrKeyState, 1, true},
		"denied":              {at(403, "Forbidden.NoPermission"), kmsmigrate.ErrDenied, 1, true},
		"bad signature":       {at(400, "SignatureDoesNotMatch"), kmsmigrate.ErrDenied, 1, true},
		"unknown ClientKey":   {at(404, "Unauthorized"), kmsmigrate.ErrDenied, 1, true},
		"skewed clock":        {at(400, "RequestTimeTooSkewed"), kmsmigrate.ErrDenied, 1, true},
		"unsupported":         {at(400, "UnsupportedOperation"), kmsmigrate.ErrInvalid, 1, true},
		"too large":           {at(413, ""), kmsmigrate.ErrInvalid, 1, true},
		"redirect":            {at(302, "Found"), bad, 1, true},
		"no content":          {kmstest.Fault{Status: 204, Body: kmstest.BodyEmpty}, bad, 1, true},
		"200 and no body":     {body(kmstest.BodyEmpty), bad, 1, true},
		"200 and {}":          {body(kmstest.BodyObject), bad, 1, true},
		"200 and null":        {body(kmstest.BodyNull), bad, 1, true},
		"200 and a page":      {kmstest.Fault{Body: kmstest.BodyHTML, Status: 200}, bad, 1, true},
		"502 and a page":      {body(kmstest.BodyHTML), down, 2, false},
		"404 and a page":      {kmstest.Fault{Body: kmstest.BodyHTML, Status: 404}, bad, 1, true},
		"500 in XML":          {body(kmstest.BodyXMLError), down, 2, false},
		"numeric code":        {body(kmstest.BodyNumericCode), down, 2, false},
		"half an answer":      {body(kmstest.BodyTruncated), bad, 1, true},
		"reset before":        {kmstest.Fault{Reset: kmstest.ResetBefore}, down, 2, false},
		"reset after":         {kmstest.Fault{Reset: kmstest.ResetAfter}, down, 2, false},
		"throttled, once":     {kmstest.Fault{Status: 429, Times: 1}, nil, 2, false},
		"reset, once":         {kmstest.Fault{Reset: kmstest.ResetAfter, Times: 1}, nil, 2, false},
		"unavailable, once":   {kmstest.Fault{Status: 503, Times: 1}, nil, 2, false},
		"foreign, one answer": {at(404, "Forbidden.KeyVersionNotFound"), nil, 1, true}, // by operation, see below
	}
}

func TestEveryFaultOnEveryFaceHasItsError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	limits := alikms.Limits{Attempts: 2, Call: 5 * time.Second}
	gc, rc, ic, hc := w.gatewayConfig(), w.rpcConfig(), w.instanceConfig(), w.instanceConfig()
	gc.Limits, rc.Limits, ic.Limits, hc.Limits = limits, limits, limits, limits
	hc.Form = alikms.FormMigrationHeader
	// Every case has an endpoint of its own: an endpoint that was throttled goes slower.
	faces := []struct {
		name   string
		open   func(testing.TB) keyMaker
		create func(kmstest.KeySpec) (*kmstest.Key, error)
		face   kmstest.Face
	}{
		{"gateway", openGateway(gc), w.region.CreateKey, kmstest.Gateway},
		{"rpc", openGateway(rc), w.instance.CreateKey, kmstest.InstanceRPC},
		{"advance", openInstance(ic), w.instance.CreateKey, kmstest.Protobuf},
		{"header", openInstance(hc), w.instance.CreateKey, kmstest.Protobuf},
	}
	_, secret := w.cloud.Credentials()
	for _, f := range faces {
		for name, c := range faultCases() {
			t.Run(f.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				key := makeKey(t, f.create, kmstest.KeySpec{})
				k := keyAt(t, f.open(t), key.ID())
				blob, err := k.Encrypt(t.Context(), []byte(plantedText), plantedContext())
				require.NoError(t, err)
				for op, do := range map[string]func() ([]byte, error){
					"Encrypt": func() ([]byte, error) { return k.Encrypt(t.Context(), []byte(plantedText), plantedContext()) },
					"Decrypt": func() ([]byte, error) { return k.Decrypt(t.Context(), blob, plantedContext()) },
				} {
					fault := c.fault
					fault.Match = kmstest.Match{Face: f.face, KeyID: key.ID()}
					before := w.cloud.Count(kmstest.Match{KeyID: key.ID()})
					remove := w.cloud.Inject(fault)
					value, err := do()
					remove()
					require.Equal(t, c.attempts, w.cloud.Count(kmstest.Match{KeyID: key.ID()})-before, "%s: calls", op)
					want := c.sentinel
					if name == "foreign, one answer" {
						want = map[string]error{"Encrypt": kmsmigrate.ErrNoKey, "Decrypt": kmsmigrate.ErrForeign}[op]
					}
					if want == nil {
						require.NoError(t, err, op)
						require.NotEmpty(t, value)
						continue
					}
					require.Empty(t, value, op)
					require.ErrorIs(t, err, want, op)
					if !errors.Is(want, kmsmigrate.ErrForeign) {
						require.NotErrorIs(t, err, kmsmigrate.ErrForeign, op)
					}
					var typed *kmsmigrate.Error
					require.ErrorAs(t, err, &typed)
					require.Equal(t, !c.final, typed.Retryable, op)
					require.Equal(t, key.ID(), typed.Key.KeyID)
					if c.fault.Code != "" {
						require.Equal(t, c.fault.Code, typed.Code)
						require.Equal(t, c.fault.Status, typed.HTTPStatus)
						require.NotEmpty(t, typed.RequestID)
						var server *sdkerrors.ServerError
						var instance *tea.SDKError
						require.True(t, errors.As(err, &server) || errors.As(err, &instance), "the SDK's own error can be had")
					}
					requireSilent(t, err, secret, w.clientKey.Password, kmsmigrate.EncodeBlob(blob))
				}
			})
		}
	}
}

func TestAServersWordsAreShownWhenTheyQuoteNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.region.CreateKey, kmstest.KeySpec{})
	k := keyAt(t, newGateway(t, w.gatewayConfig()), key.ID())
	w.cloud.Inject(kmstest.Fault{Match: w.region.Match(), Status: 400, Code: "InvalidThing", Message: "The thing is not valid."})
	_, err := k.Encrypt(t.Context(), []byte(plantedText), plantedContext())
	require.ErrorContains(t, err, "The thing is not valid.")
	requireSilent(t, err)
}

func TestWhoIsForeignIsConfigurable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{UnknownVersion: kmstest.Answer{Status: 400, Code: "Some.NewCode"}})
	mine, other := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{UUID: true}), makeKey(t, w.region.CreateKey, kmstest.KeySpec{UUID: true})
	blob, err := keyAt(t, newGateway(t, w.gatewayConfig()), other.ID()).Encrypt(t.Context(), []byte("x"), nil)
	require.NoError(t, err)
	_, err = keyAt(t, newInstance(t, w.instanceConfig()), mine.ID()).Decrypt(t.Context(), blob, nil)
	require.NotErrorIs(t, err, kmsmigrate.ErrForeign, "a code that nobody knows is final")
	cfg := w.instanceConfig()
	cfg.ForeignCodes = append(alikms.DefaultForeignCodes(), "Some.NewCode")
	_, err = keyAt(t, newInstance(t, cfg), mine.ID()).Decrypt(t.Context(), blob, nil)
	require.ErrorIs(t, err, kmsmigrate.ErrForeign)
}

// blackHole accepts connections and never says a word.
func blackHole(tb testing.TB) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	var open []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			open = append(open, conn)
		}
	}()
	tb.Cleanup(func() {
		_ = listener.Close()
		<-done
		for _, conn := range open {
			_ = conn.Close()
		}
	})
	return listener.Addr().String()
}

func TestAContextEndsACallAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.instance.CreateKey, kmstest.KeySpec{})
	gone := w.gatewayConfig()
	gone.Endpoint = blackHole(t)
	goneInstance := w.instanceConfig()
	goneInstance.Endpoint = blackHole(t)
	w.cloud.Inject(kmstest.Fault{Match: kmstest.Match{KeyID: key.ID(), Face: kmstest.InstanceRPC}, Hang: true})
	w.cloud.Inject(kmstest.Fault{Match: kmstest.Match{KeyID: key.ID(), Face: kmstest.Protobuf}, Status: 503})
	for name, at := range map[string]keyMaker{
		"black hole": newGateway(t, gone), "black hole, instance": newInstance(t, goneInstance),
		"hangs": newGateway(t, w.rpcConfig()), "waits to repeat": newInstance(t, w.instanceConfig()),
	} {
		k := keyAt(t, at, key.ID())
		waits := strings.HasPrefix(name, "waits")
		late := quickest(func() time.Duration {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			_, err := k.Encrypt(ctx, []byte(plantedText), plantedContext())
			deadline, _ := ctx.Deadline()
			over := time.Since(deadline)
			require.ErrorIs(t, err, kmsmigrate.ErrUnavailable, name)
			requireSilent(t, err)
			if !waits {
				require.ErrorIs(t, err, context.DeadlineExceeded, name)
			}
			return over
		})
		require.Less(t, late, 500*time.Millisecond, name) // it is below 50 ms where the machine is not busy; without the deadline it is 10 s
		if waits {
			continue
		}
		late = quickest(func() time.Duration {
			ctx, cancel := context.WithCancel(t.Context())
			var cancelled time.Time
			time.AfterFunc(30*time.Millisecond, func() { cancelled = time.Now(); cancel() })
			_, err := k.Encrypt(ctx, []byte(plantedText), plantedContext())
			require.ErrorIs(t, err, context.Canceled, name)
			require.NotErrorIs(t, err, kmsmigrate.ErrForeign)
			return time.Since(cancelled)
		})
		require.Less(t, late, 500*time.Millisecond, name) // it is below 50 ms where the machine is not busy; without the deadline it is 10 s
	}
}

// quickest returns the least of three measurements: what is asserted is what the code does, not how busy the machine is.
func quickest(measure func() time.Duration) time.Duration {
	return min(measure(), measure(), measure())
}

func TestAServerThatDripsEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		head := "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
		_, _ = conn.Read(make([]byte, 4096))
		_, _ = conn.Write([]byte(head))
		for {
			select {
			case <-stop:
				return
			case <-time.After(50 * time.Millisecond):
				_, _ = conn.Write([]byte(" "))
			}
		}
	}()
	t.Cleanup(func() { close(stop); _ = listener.Close(); <-done })
	g := newGateway(t, alikms.GatewayConfig{Region: "cn-hangzhou", Endpoint: listener.Addr().String(), PlainHTTP: true, AccessKeyID: "id", AccessKeySecret: "s",
		Limits: alikms.Limits{Call: 300 * time.Millisecond}})
	start := time.Now()
	_, err = keyAt(t, g, "key-x").Encrypt(t.Context(), []byte(plantedText), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrUnavailable)
	require.Less(t, time.Since(start), 5*time.Second)
}

func TestAWrongCAIsFinalAndSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	wrong := w.instanceConfig()
	wrong.CAPEM = w.region.CA()
	wrongRPC := w.rpcConfig()
	wrongRPC.CAPEM = w.region.CA()
	for _, at := range []keyMaker{newInstance(t, wrong), newGateway(t, wrongRPC)} {
		start := time.Now()
		_, err := keyAt(t, at, "key-x").Encrypt(t.Context(), []byte(plantedText), nil)
		require.ErrorIs(t, err, kmsmigrate.ErrUnavailable)
		require.ErrorContains(t, err, "CAPEM")
		var typed *kmsmigrate.Error
		require.ErrorAs(t, err, &typed)
		require.False(t, typed.Retryable)
		require.Less(t, time.Since(start), 5*time.Second)
		requireSilent(t, err)
	}
	require.Zero(t, w.cloud.Count(kmstest.Match{}))
}

func TestRefusedAndUnresolvedConnectionsSayWhatHappened(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	g := newGateway(t, alikms.GatewayConfig{Region: "cn-hangzhou", Endpoint: listener.Addr().String(), PlainHTTP: true, AccessKeyID: "id", AccessKeySecret: "s", Limits: alikms.Limits{Attempts: 2}})
	_, err = keyAt(t, g, "key-x").Encrypt(t.Context(), []byte(plantedText), nil)
	require.ErrorIs(t, err, kmsmigrate.ErrUnavailable)
	require.ErrorContains(t, err, "connection refused")
	requireSilent(t, err)
}

func TestCloseEndsCallsUnderWayAndRefusesNewOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, kmstest.Config{})
	key := makeKey(t, w.region.CreateKey, kmstest.KeySpec{})
	hung := make(chan struct{})
	w.cloud.Inject(kmstest.Fault{Match: w.region.Match(), Before: func() { close(hung) }, Times: 1, Hang: true})
	g := newGateway(t, w.gatewayConfig())
	k := keyAt(t, g, key.ID())
	failed := make(chan error)
	go func() {
		_, err := k.Encrypt(context.Background(), []byte(plantedText), nil)
		failed <- err
	}()
	<-hung
	require.NoError(t, g.Close())
	require.Error(t, <-failed)
	_, err := k.Encrypt(t.Context(), []byte(plantedText), nil)
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorIs(t, err, kmsmigrate.ErrUnavailable, "it says nothing about what was to be encrypted")
	var said *kmsmigrate.Error
	require.ErrorAs(t, err, &said)
	require.False(t, said.Retryable, "not at this endpoint")
	require.ErrorContains(t, err, "closed")
	require.NoError(t, g.Close(), "twice is fine")
}
