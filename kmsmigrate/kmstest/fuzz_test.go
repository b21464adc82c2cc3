package kmstest

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
)

// These targets are inside the package, because a fuzzer that went through a socket would try a few hundred inputs a second instead of tens of
// thousands, and one that could not skip the signature would never get past it.

// fuzzWorld has one of everything that a request can name.
func fuzzWorld(f *testing.F) (gateway, instance *face) {
	f.Helper()
	cloud, err := Start(Config{KeepRequests: 1})
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, cloud.Close()) })
	region, err := cloud.Region("cn-hangzhou")
	require.NoError(f, err)
	i, err := region.CreateInstance(InstanceSpec{})
	require.NoError(f, err)
	_, err = region.CreateKey(KeySpec{Alias: "alias/app"})
	require.NoError(f, err)
	key, err := i.CreateKey(KeySpec{Alias: "alias/in"})
	require.NoError(f, err)
	_, err = i.CreateKey(KeySpec{Alias: "alias/ec", Spec: "EC_P256"})
	require.NoError(f, err)
	_, err = i.CreateSecret(SecretSpec{Name: "s", Value: "v", Key: key})
	require.NoError(f, err)
	return cloud.faces[0], cloud.faces[2]
}

// FuzzRPCWire sends raw requests with any method, query, headers and body to both RPC faces. The answer is always an error in the format that
// was asked for, because nothing is signed.
func FuzzRPCWire(f *testing.F) {
	gateway, instance := fuzzWorld(f)
	f.Add("GET", "Action=Encrypt&Format=JSON", "", "", []byte(nil))
	f.Add("POST", "Action=Encrypt&Format=XML&AccessKeyId=x&Signature=%zz", "application/x-www-form-urlencoded", "", []byte("a=b&c=%"))
	f.Add("POST", "", "application/json", "ACS3-HMAC-SHA256 Credential=a,SignedHeaders=b,Signature=c", []byte("{}"))
	f.Fuzz(func(t *testing.T, method, query, contentType, authorization string, body []byte) {
		for _, at := range []*face{gateway, instance} {
			r := request(method, query, body)
			r.Header.Set("Content-Type", contentType)
			r.Header.Set("Authorization", authorization)
			w := httptest.NewRecorder()
			at.ServeHTTP(w, r)
			requireErrorAnswer(t, w)
		}
	})
}

func request(method, query string, body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	if method != "" {
		r.Method = method
	}
	r.URL.RawQuery = query
	return r
}

func requireErrorAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	require.GreaterOrEqual(t, w.Code, 400)
	require.Less(t, w.Code, 600)
	switch kind := w.Header().Get("Content-Type"); {
	case strings.Contains(kind, "json"):
		var e failure
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &e))
		require.NotEmpty(t, e.Code)
		require.Equal(t, w.Code, e.HttpStatus)
	case strings.Contains(kind, "xml"):
		var e failure
		require.NoError(t, xml.Unmarshal(w.Body.Bytes(), &e))
		require.NotEmpty(t, e.Code)
	case kind == protobufType:
		var e api.Error
		require.NoError(t, proto.Unmarshal(w.Body.Bytes(), &e))
		require.NotEmpty(t, e.ErrorCode)
	default:
		t.Fatalf("an error of type %q", kind)
	}
}

// FuzzRPCOperations gets behind the signature: any action with any parameters, the awkward ones by name.
func FuzzRPCOperations(f *testing.F) {
	gateway, instance := fuzzWorld(f)
	for action := range operations {
		f.Add(action, "alias/app", "x", `{"a":"b"}`, "1", "")
	}
	f.Add("Decrypt", "", "JAAC", "{", "-1", "AAAA")
	f.Fuzz(func(t *testing.T, action, key, text, structured, number, blob string) {
		for _, at := range []*face{gateway, instance} {
			x := &exchange{face: at, http: request("", "", nil)}
			p := params{{"Format", "JSON"}}
			for _, name := range []string{"KeyId", "DestinationKeyId", "SourceKeyId", "EncryptionKeyId", "KeySpec", "KeyVersionId", "ProtectedResourceArn"} {
				p = append(p, param{name, key})
			}
			for _, name := range []string{"Plaintext", "AliasName", "SecretName", "VersionId", "SecretData", "Description", "Algorithm", "ResourceType", "VersionStage"} {
				p = append(p, param{name, text})
			}
			for _, name := range []string{"EncryptionContext", "SourceEncryptionContext", "Filters", "Tags", "TagKeys", "VersionStages", "ExtendedConfig.CustomData"} {
				p = append(p, param{name, structured})
			}
			for _, name := range []string{"PageNumber", "PageSize", "NumberOfBytes", "PendingWindowInDays", "RotationInterval", "PasswordLength", "NextToken",
				"RecoveryWindowInDays", "KeyMaterialExpireUnix", "EnableAutomaticRotation", "DryRun"} {
				p = append(p, param{name, number})
			}
			for _, name := range []string{"CiphertextBlob", "Digest", "Value", "Iv", "Aad", "PublicKeyBlob", "EncryptedKeyMaterial", "ImportToken"} {
				p = append(p, param{name, blob})
			}
			c := &rpcCall{x: x, door: at.door, params: p, action: action, format: formatJSON}
			c.keyHint()
			op, known := operations[action]
			if !known || action == "CreateKey" && p.get("KeySpec") == "RSA_4096" {
				return
			}
			if out, err := op.do(c); err == nil {
				formatXML.success(action, out)
				require.True(t, json.Valid(formatJSON.success(action, out).body))
			} else {
				require.NotEmpty(t, err.Code)
				require.GreaterOrEqual(t, err.Status, 400)
			}
		}
	})
}

// FuzzProtobufWire sends raw requests to the protobuf face.
func FuzzProtobufWire(f *testing.F) {
	_, instance := fuzzWorld(f)
	f.Add("Encrypt", "dkms-gcs-0.2", "x", "Bearer AAAA", "", []byte{})
	f.Fuzz(func(t *testing.T, name, version, key, authorization, date string, body []byte) {
		r := request("", "", body)
		r.Header.Set("Content-Type", protobufType)
		r.Header.Set("X-Kms-Apiname", name)
		r.Header.Set("X-Kms-Apiversion", version)
		r.Header.Set("X-Kms-Acccesskeyid", key)
		r.Header.Set("X-Kms-Signaturemethod", "RSA_PKCS1_SHA_256")
		r.Header.Set("Authorization", authorization)
		r.Header.Set("Date", date)
		w := httptest.NewRecorder()
		instance.ServeHTTP(w, r)
		requireErrorAnswer(t, w)
	})
}

// FuzzProtobufOperations gets behind the signature: any message for any operation.
func FuzzProtobufOperations(f *testing.F) {
	_, instance := fuzzWorld(f)
	for name := range protoOperations {
		f.Add(name, "", []byte("\x0a\x08alias/in\x12\x01x"))
		f.Add(name, "version", []byte("\x0a\x04$\x00\x02x\x12\x08alias/ec"))
	}
	f.Fuzz(func(t *testing.T, name, version string, body []byte) {
		r := request("", "", body)
		r.Header.Set("X-Kms-Apiname", name)
		r.Header.Set(migrationHeader, version)
		x := &exchange{face: instance, http: r, body: body}
		c := openProtobuf(x).(*protoCall)
		if !c.known || c.broken {
			return
		}
		if out, err := c.op.do(c); err == nil {
			require.NotNil(t, out)
			c.write(http.StatusOK, out)
		} else {
			require.NotEmpty(t, err.Code)
			requireProtobufError(t, c.fail(err))
		}
	})
}

func requireProtobufError(t *testing.T, a reply) {
	t.Helper()
	var e api.Error
	require.NoError(t, proto.Unmarshal(a.body, &e))
	require.EqualValues(t, a.status, e.StatusCode)
}
