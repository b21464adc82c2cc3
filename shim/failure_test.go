package shim_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/keyhaul/keyhaul/kmsmigrate"
	"github.com/keyhaul/keyhaul/kmsmigrate/alikms"
	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest"
	"github.com/keyhaul/keyhaul/shim"
)

const (
	secretText    = "pl4in-t3xt-s3cret"
	secretContext = "c0ntext-s3cret"
)

// TestFailuresAreTheSDKsErrors has everything go wrong and looks at what the application gets, and whether it shows what it must not.
func TestFailuresAreTheSDKsErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault kmstest.Fault
		code  string
		retry bool
	}{
		"no answer":                    {kmstest.Fault{Hang: true}, "ServiceUnavailableTemporary", false},
		"reset before":                 {kmstest.Fault{Reset: kmstest.ResetBefore}, "ServiceUnavailableTemporary", false},
		"reset after":                  {kmstest.Fault{Reset: kmstest.ResetAfter}, "ServiceUnavailableTemporary", false},
		"empty":                        {kmstest.Fault{Body: kmstest.BodyEmpty}, "InternalFailure", false},
		"{}":                           {kmstest.Fault{Body: kmstest.BodyObject}, "InternalFailure", false},
		"null":                         {kmstest.Fault{Body: kmstest.BodyNull}, "InternalFailure", false},
		"cut off":                      {kmstest.Fault{Body: kmstest.BodyTruncated}, "InternalFailure", false},
		"a page with 502":              {kmstest.Fault{Body: kmstest.BodyHTML, Status: 502}, "ServiceUnavailableTemporary", false},
		"a page with 200":              {kmstest.Fault{Body: kmstest.BodyHTML, Status: 200}, "InternalFailure", false},
		"an error in XML":              {kmstest.Fault{Body: kmstest.BodyXMLError}, "", false},
		"a numeric code":               {kmstest.Fault{Body: kmstest.BodyNumericCode}, "", false},
		"throttled":                    {kmstest.Fault{Status: 429}, "Rejected.Throttling", false},
		"down":                         {kmstest.Fault{Status: 503}, "ServiceUnavailableTemporary", false},
		"denied":                       {kmstest.Fault{Status: 403, Code: "Forbidden.NoPermission"}, "Forbidden.NoPermission", false},
		"an error that quotes the lot": {kmstest.Fault{Status: 400, Code: "InvalidParameter", Message: "bad: " + secretText + " " + secretContext}, "InvalidParameter", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.cloud.Inject(c.fault)
			for _, format := range []string{"JSON", "XML"} {
				client := w.client(t, w.transport(t, kmsmigrate.WriteNew))
				client.SetReadTimeout(2 * time.Second)
				began := time.Now()
				_, err := plain(t, client, "Encrypt", format, map[string]string{"KeyId": "alias/app", "Plaintext": secretText, "EncryptionContext": `{"k":"` + secretContext + `"}`})
				require.Less(t, time.Since(began), 2*time.Second, "before the SDK's own time-out")
				typed := serverError(t, err)
				require.NotEmpty(t, typed.ErrorCode())
				if c.code != "" {
					require.Equal(t, c.code, typed.ErrorCode())
				}
				require.NotEmpty(t, typed.RequestId())
				require.GreaterOrEqual(t, typed.HttpStatus(), 400)
				hidesSecrets(t, w, err)
			}
		})
	}
}

func hidesSecrets(t *testing.T, w *world, err error) {
	t.Helper()
	id, secret := w.cloud.Credentials()
	for _, planted := range []string{secretText, secretContext, id, secret, "Signature="} {
		for _, form := range []string{planted, url.QueryEscape(planted), base64.StdEncoding.EncodeToString([]byte(planted))} {
			require.NotContains(t, err.Error(), form)
		}
	}
}

func TestAnEndpointThatIsNotThereIsUnavailable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.New.Endpoint = "127.0.0.1:1"
	client := w.client(t, w.transport(t, kmsmigrate.WriteNew))
	_, err := plain(t, client, "Encrypt", "JSON", map[string]string{"KeyId": "alias/app", "Plaintext": secretText})
	require.Equal(t, "ServiceUnavailableTemporary", serverError(t, err).ErrorCode())
	require.Contains(t, err.Error(), "new side")
	hidesSecrets(t, w, err)

	w.config.New = w.newAt.GatewayConfig()
	w.config.New.CAPEM = w.oldAt.CA()
	client = w.client(t, w.transport(t, kmsmigrate.WriteNew))
	_, err = plain(t, client, "Encrypt", "JSON", map[string]string{"KeyId": "alias/app", "Plaintext": secretText})
	require.Contains(t, err.Error(), "CAPEM")
	hidesSecrets(t, w, err)

	w.config.New = w.newAt.GatewayConfig()
	w.config.New.AccessKeySecret = "wr0ng-s3cret"
	client = w.client(t, w.transport(t, kmsmigrate.WriteNew))
	_, err = plain(t, client, "Encrypt", "JSON", map[string]string{"KeyId": "alias/app", "Plaintext": secretText})
	require.Contains(t, err.Error(), "access key")
	require.NotContains(t, err.Error(), "wr0ng-s3cret")
	hidesSecrets(t, w, err)
}

func TestRequestsThatAreNoneGetAnErrorBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	transport := w.transport(t, kmsmigrate.ReadBoth)
	for _, c := range []struct{ method, query, body, code string }{
		{"GET", "", "", "MissingParameter"},
		{"POST", "Action=Encrypt&Plaintext=%zz", "", "ParseRequestParameterException"},
		{"POST", "Action=Encrypt&Plaintext=%ff", "", "ParseRequestParameterException"},
		{"POST", "Action=Encrypt", "KeyId=%zz", "ParseRequestParameterException"},
		{"POST", "Action=Encrypt", strings.Repeat("x", 4<<20), "ParseRequestParameterException"},
		{"POST", "Action=AssumeRole&Version=2015-04-01", "", "UnsupportedOperation"},
	} {
		request, err := http.NewRequestWithContext(t.Context(), c.method, "https://kms.example/?"+c.query, strings.NewReader(c.body))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer, err := transport.RoundTrip(request)
		require.NoError(t, err)
		require.Contains(t, bodyOf(t, answer), `"Code":"`+c.code+`"`)
	}
	require.Zero(t, w.cloud.Count(kmstest.Match{}))
}

func TestConfigsThatCannotWorkAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, change := range map[string]func(*shim.Config){
		"no old side":         func(c *shim.Config) { c.Old = alikms.GatewayConfig{} },
		"no new side":         func(c *shim.Config) { c.New = alikms.GatewayConfig{} },
		"no keys":             func(c *shim.Config) { c.Keys = kmsmigrate.KeyMap{} },
		"two ways":            func(c *shim.Config) { c.Keys.Keys = map[string]string{w.old.ID(): "a", w.old.ARN(): "b"} },
		"a chain":             func(c *shim.Config) { c.Keys.Keys = map[string]string{"a": "b", "b": "c"} },
		"a ring":              func(c *shim.Config) { c.Keys.Keys = map[string]string{"a": "b", "b": "a"} },
		"a scheme":            func(c *shim.Config) { c.New.Endpoint = "https://" + c.New.Endpoint },
		"a CA that is none":   func(c *shim.Config) { c.Old.CAPEM = []byte("none") },
		"no access key":       func(c *shim.Config) { c.Old.AccessKeySecret = "" },
		"a side that is none": func(c *shim.Config) { c.Others = 9 },
		"a control endpoint that is none": func(c *shim.Config) {
			c.NewControl = &alikms.GatewayConfig{Region: "x"}
		},
	} {
		config := w.config
		change(&config)
		_, err := shim.NewTransport(config)
		require.ErrorIs(t, err, kmsmigrate.ErrInvalid, name)
	}
	config := w.config
	config.Phase = kmsmigrate.Phase(9)
	_, err := shim.NewTransport(config)
	require.ErrorIs(t, err, kmsmigrate.ErrPhase)

	config = shim.Config{Old: w.config.Old}
	only, err := shim.NewTransport(config)
	require.NoError(t, err, "the zero phase needs no new side")
	require.NoError(t, only.Close())
	config = shim.Config{New: w.config.New, Keys: w.config.Keys, Phase: kmsmigrate.NewOnly}
	only, err = shim.NewTransport(config)
	require.NoError(t, err, "and the last one no old side")
	_, err = plain(t, w.client(t, only), "EnableKey", "JSON", map[string]string{"KeyId": w.old.ID()})
	require.Equal(t, "Forbidden.KeyNotFound", serverError(t, err).ErrorCode())
	require.NoError(t, only.Close())
}
