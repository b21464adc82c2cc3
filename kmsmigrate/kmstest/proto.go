package kmstest

import (
	"net/http"
	"strings"

	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
	"google.golang.org/protobuf/proto"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

const (
	protobufType    = "application/x-protobuf"
	protobufVersion = "dkms-gcs-0.2"
	// migrationHeader carries a key version id, in answers and in requests, so that the transfer SDKs can build and open OpenAPI blobs.
	migrationHeader = "x-kms-migrationkeyversionid"
)

// isProtobuf recognises requests of the instance SDK. RPC clients send none of these headers.
func isProtobuf(r *http.Request) bool {
	return strings.HasPrefix(r.Header.Get("Content-Type"), protobufType) || r.Header.Get("X-Kms-Apiname") != "" ||
		r.Header.Get("X-Kms-Acccesskeyid") != ""
}

// protoCall is a request of the instance SDK: one protobuf message, named by a header.
type protoCall struct {
	x      *exchange
	door   model.Door
	name   string
	op     protoOperation
	known  bool
	in     proto.Message
	broken bool
	header map[string]string // of the answer
}

// protoOperation is one operation of the instance API.
type protoOperation struct {
	request func() proto.Message
	do      func(*protoCall) (proto.Message, *model.Error)
}

func openProtobuf(x *exchange) call {
	c := &protoCall{x: x, door: x.face.door, name: x.http.Header.Get("X-Kms-Apiname"), header: map[string]string{}}
	c.op, c.known = protoOperations[c.name]
	x.record.Action = c.name
	if !c.known {
		return c
	}
	c.in = c.op.request()
	c.broken = proto.Unmarshal(x.body, c.in) != nil
	return c
}

func (c *protoCall) keyHint() string {
	if c.in == nil {
		return ""
	}
	if k, ok := c.in.(interface{ GetKeyId() string }); ok && k.GetKeyId() != "" {
		return c.door.KeyIDOf(k.GetKeyId())
	}
	if v := c.migrationVersion(); v != "" {
		return c.door.KeyIDOfVersion(v)
	}
	if b, ok := c.in.(interface{ GetCiphertextBlob() []byte }); ok {
		if s, ok := model.ParseAdvance(b.GetCiphertextBlob()); ok {
			return c.door.KeyIDOfVersion(s.VersionID)
		}
	}
	return ""
}

func (c *protoCall) migrationVersion() string { return c.x.http.Header.Get(migrationHeader) }

func (c *protoCall) run() reply {
	if err := c.authenticate(); err != nil {
		return c.fail(err)
	}
	if c.broken {
		return c.fail(&model.Error{Status: http.StatusBadRequest, Code: "InvalidParam", Message: "The request body is not valid."})
	}
	out, err := c.op.do(c)
	if err != nil {
		return c.fail(err)
	}
	return c.write(http.StatusOK, out)
}

func (c *protoCall) fail(e *model.Error) reply {
	if e == c.x.face.cloud.model.BadCiphertext() {
		e = c.x.face.cloud.badBlob
	}
	c.x.record.Code = e.Code
	return c.write(e.Status, &api.Error{StatusCode: int32(e.Status), ErrorCode: e.Code, ErrorMessage: e.Message, RequestId: c.x.record.RequestID})
}

func (c *protoCall) write(status int, m proto.Message) reply {
	body, err := proto.Marshal(m)
	if err != nil {
		// Only a string that is not UTF-8 cannot be written, and answers hold ids and texts of ours.
		return reply{status: http.StatusInternalServerError, contentType: protobufType}
	}
	return reply{status: status, contentType: protobufType, header: c.header, body: body}
}

// used records which key did the work, and tells the client its version, which the transfer SDKs need.
func (c *protoCall) used(keyID, versionID string) {
	c.x.record.KeyID, c.x.record.KeyVersionID = keyID, versionID
	if !c.x.face.cloud.config.NoMigrationHeader || c.door.Moved(keyID) {
		c.header[migrationHeader] = versionID
	}
}

func (c *protoCall) plaintextIn(n int)  { c.x.record.PlaintextIn += n }
func (c *protoCall) plaintextOut(n int) { c.x.record.PlaintextOut += n }
func (c *protoCall) requestID() string  { return c.x.record.RequestID }

// on adapts an operation on concrete messages.
func on[In any, P interface {
	*In
	proto.Message
}](do func(*protoCall, P) (proto.Message, *model.Error)) protoOperation {
	return protoOperation{
		request: func() proto.Message { return P(new(In)) },
		do:      func(c *protoCall) (proto.Message, *model.Error) { return do(c, c.in.(P)) },
	}
}

// protoOperations is every operation of the instance API. It is never written to.
var protoOperations = map[string]protoOperation{
	"Encrypt":                             on(protoEncrypt),
	"Decrypt":                             on(protoDecrypt),
	"GenerateDataKey":                     on(protoGenerateDataKey),
	"AdvanceEncrypt":                      on(protoAdvanceEncrypt),
	"AdvanceDecrypt":                      on(protoAdvanceDecrypt),
	"AdvanceGenerateDataKey":              on(protoAdvanceGenerateDataKey),
	"Sign":                                on(protoSign),
	"Verify":                              on(protoVerify),
	"GetPublicKey":                        on(protoGetPublicKey),
	"GenerateRandom":                      on(protoGenerateRandom),
	"GetSecretValue":                      on(protoGetSecretValue),
	"GenerateDataKeyPair":                 on(protoKeyPair),
	"GenerateDataKeyPairWithoutPlaintext": on(protoKeyPairWithout),
	"AdvanceGenerateDataKeyPair":          on(protoAdvanceKeyPair),
	"AdvanceGenerateDataKeyPairWithoutPlaintext": on(protoAdvanceKeyPairWithout),
}
