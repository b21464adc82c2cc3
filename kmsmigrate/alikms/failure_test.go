package alikms

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"

	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

func TestWordsThatQuoteTheRequestAreNotShown(t *testing.T) {
	t.Parallel()
	const secret = "Zhang San, +86 138"
	hide := secrets{secret, ""}
	for _, text := range []string{
		secret, "value " + strings.ToUpper(secret) + " is wrong", base64.StdEncoding.EncodeToString([]byte(secret)),
		url.QueryEscape(secret), url.QueryEscape(url.QueryEscape(secret)), "server string to sign is:POST&%2F&Plaintext%3D" + url.QueryEscape(secret),
		`"` + `\u005ahang San` + `"`, "see https://example.com/?Plaintext=x", strings.Repeat("x", 301), "two\nlines",
	} {
		require.Empty(t, hide.show(text), text)
	}
	require.Equal(t, `The specified parameter "KeyId" is not valid.`, hide.show(`The specified parameter "KeyId" is not valid.`))
	require.Empty(t, hide.code("a b"))
	require.Empty(t, secrets{"abc"}.code("Code.ABC"))
	require.Equal(t, "Rejected.Throttling", hide.code("Rejected.Throttling"))
}

func TestOperationsWithSecretAnswersShowDocumentedWordsAlone(t *testing.T) {
	t.Parallel()
	for text, shown := range map[string]bool{
		`The specified parameter "CiphertextBlob" is not valid.`:         true,
		"The specified Key is not found.":                                true,
		"QPS Limit Exceeded":                                             true,
		"The request was rejected because the key state is Unavailable.": true,
		"could not decrypt, got: Zhang San":                              false,
		"The specified Key is not found. Zhang San":                      false,
		`The specified parameter "Zhang San 138" is not valid.`:          false,
	} {
		require.Equal(t, shown, secrets{}.redact(report{message: text}, true).message != "", text)
		require.Equal(t, text, secrets{}.redact(report{message: text}, false).message)
	}
}

func TestErrorAnswersOfEveryFormatAreUnderstood(t *testing.T) {
	t.Parallel()
	message, err := proto.Marshal(&api.Error{StatusCode: 404, ErrorCode: "C", ErrorMessage: "m", RequestId: "r"})
	require.NoError(t, err)
	full := report{code: "C", message: "m", requestID: "r"}
	for body, want := range map[string]report{
		`{"Code":"C","Message":"m","RequestId":"r","HttpStatus":404}`: full,
		`{"Code":502,"Message":"m"}`:                                  {code: "502", message: "m"},
		`{"Code":null,"Message":{"x":1}}`:                             {},
		`{"Code":`:                                                    {},
		`<?xml version='1.0'?><KMS><Code>C</Code><Message>m</Message><RequestId>r</RequestId></KMS>`:      full,
		`<Error><Code>C</Code><Message>m</Message><RequestId>r</RequestId><X><Code>no</Code></X></Error>`: full,
		"<html><head><title>502 Bad Gateway</title></head><body>oops":                                     {},
		"":                 {},
		" \r\n":            {},
		"upstream is down": {},
		string(message):    full,
	} {
		require.Equal(t, want, readReport([]byte(body)), body)
	}
}

func FuzzReadReport(f *testing.F) {
	for _, seed := range []string{`{"Code":502}`, "<KMS><Code>C</Code></KMS>", "", "\x0a\x01C", "null", "<", "{"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := secrets{"planted"}.redact(readReport(body), false)
		_ = r.serverError(500)
		_ = r.teaError(500)
		require.NotContains(t, r.code+r.message+r.requestID+r.hostID, "planted")
	})
}

func FuzzParseKeyName(f *testing.F) {
	for _, seed := range []string{"", "alias/a", "key-x", "acs:kms:cn-hangzhou:1:key/key-x", "acs:kms:::"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		name, err := parseKeyName(given)
		if err == nil {
			require.Equal(t, given, name.given)
			require.NotEmpty(t, given)
		}
	})
}

func FuzzParseClientKey(f *testing.F) {
	for _, seed := range []string{"", "{}", `{"KeyId":"a","PrivateKeyData":"AAAA"}`} {
		f.Add([]byte(seed), "password")
	}
	f.Fuzz(func(t *testing.T, content []byte, password string) {
		_, err := parseClientKey(content, password, testNow)
		require.Error(t, err)
	})
}

func TestTheRetryBudgetRunsOutAndFillsUpAgain(t *testing.T) {
	t.Parallel()
	var b retryBudget
	for range budgetSize / retryCost {
		require.True(t, b.take())
	}
	require.False(t, b.take(), "a service that is down is not called four times for each call")
	for range retryCost {
		b.succeeded()
	}
	require.True(t, b.take())
	require.False(t, b.take())
}

func TestContextsAreCanonical(t *testing.T) {
	t.Parallel()
	aad, err := contextAAD(map[string]string{"b": "2", "a": "1"})
	require.NoError(t, err)
	// The vector of the transfer SDK: SHA-256("a=1&b=2").
	require.Equal(t, "8e85be58c1c372ac29fe7bfa80d8ddcbd04a4032c7b51c1c026d67c55b1ab23f", hexOf(aad))
	text, err := contextJSON(map[string]string{"b": "2", "a": "1"})
	require.NoError(t, err)
	require.JSONEq(t, `{"a":"1","b":"2"}`, text)
	for _, none := range []map[string]string{nil, {}} {
		aad, err := contextAAD(none)
		require.NoError(t, err)
		require.Nil(t, aad)
		text, err := contextJSON(none)
		require.NoError(t, err)
		require.Empty(t, text)
	}
	for _, bad := range []map[string]string{{"a": "planted\xff"}, {"\xff": "planted"}} {
		_, err := contextAAD(bad)
		require.ErrorContains(t, err, "UTF-8")
		_, err = contextJSON(bad)
		require.NotContains(t, err.Error(), "planted")
	}
	_, err = contextJSON(map[string]string{"a": strings.Repeat("x", 8192)})
	require.Error(t, err)
}
