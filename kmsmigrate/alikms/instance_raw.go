package alikms

import (
	"bytes"
	"context"
	"regexp"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/keyhaul/keyhaul/kmsmigrate"
)

// InstanceCall is an operation of the instance API by its name, with the official SDK's own messages: what RawCall is to a Gateway. It is for
// what the methods of Instance have no field for, such as a padding mode or the message type RAW.
type InstanceCall struct {
	// Action is the operation: "Encrypt". It is needed, and so are Request, which is sent, and Answer, which is filled.
	Action          string
	Request, Answer proto.Message
	// Header is sent along. Names that begin with x-kms- are signed; those that every request has are left as they are.
	Header map[string]string
	// Attempts takes the place of Limits.Attempts. Zero: it does not.
	Attempts int
}

var (
	headerName  = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	headerValue = regexp.MustCompile(`^[\t\x20-\x7e]*$`)
)

// Raw carries out an operation. Pacing, retries, the breaker, time-outs and observers are those of every other call of the Instance. header
// looks up a header of the answer, such as x-kms-migrationkeyversionid; it is nil where there is an error.
//
// Errors are *kmsmigrate.Errors: ErrBadAnswer for an answer that lacks what it must have. No error shows a field of bytes of the request.
func (i *Instance) Raw(ctx context.Context, c InstanceCall) (header func(name string) string, err error) {
	if c.Action == "" || c.Request == nil || c.Answer == nil {
		return nil, i.wrong("call", "", kmsmigrate.ErrInvalid, "an Action, its Request and its Answer are needed")
	}
	for name, value := range c.Header {
		// net/http would refuse it, too, but as it refuses a connection that broke, and then it is tried again.
		if !headerName.MatchString(name) || !headerValue.MatchString(value) {
			return nil, i.wrong(c.Action, "", kmsmigrate.ErrInvalid, "a header's name or value cannot be sent")
		}
	}
	var key string
	if named, ok := c.Request.(interface{ GetKeyId() string }); ok {
		key = shownKey(named.GetKeyId())
	}
	err = i.gcs(ctx, gcs{
		action: c.Action, key: key, request: c.Request, answer: c.Answer, header: c.Header, attempts: c.Attempts,
		decrypt: c.Action == "Decrypt" || c.Action == "AdvanceDecrypt",
		reveals: strings.Contains(c.Action, "Generate") || c.Action == "GetSecretValue",
		secrets: func() secrets { return bytesOf(c.Request) },
		check: func(got func(string) string) string {
			header = got
			return incomplete(c.Request, c.Answer)
		},
	})
	if err != nil {
		return nil, err
	}
	return header, nil
}

// bytesOf returns every field of bytes of a request: plaintext, ciphertext, what it is bound to, messages. One or two bytes are in every error
// code, and looking for them would leave none.
func bytesOf(m proto.Message) secrets {
	var values secrets
	m.ProtoReflect().Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Kind() == protoreflect.BytesKind && len(value.Bytes()) > 2 {
			values = append(values, string(value.Bytes()))
		}
		return true
	})
	return values
}

// incomplete says what an answer lacks. The official SDK returns one without them as empty values and no error.
func incomplete(request, answer proto.Message) string {
	asked, got := request.ProtoReflect(), answer.ProtoReflect()
	fields := got.Descriptor().Fields()
	for n := range fields.Len() {
		field := fields.Get(n)
		if got.Has(field) || field.IsList() {
			continue
		}
		switch name := field.Name(); {
		case name == "KeyId" || name == "RequestId" || name == "PublicKey" || name == "SecretData" || name == "VersionId":
			return missing(string(name), "")
		case name == "KeyVersionId" && (got.Descriptor().Name() != "AdvanceDecryptResponse" || headed(bytesField(asked, "CiphertextBlob")) == ""):
			return missing(string(name), "")
		case name == "Iv" && stringField(got, "Algorithm") == algorithm:
			return missing(string(name), "")
		case name != "Iv" && field.Kind() == protoreflect.BytesKind:
			return missing(string(name), "")
		}
	}
	if size := numberField(asked, "NumberOfBytes", "Length"); size > 0 {
		if n := len(bytesField(got, "Plaintext")) + len(bytesField(got, "Random")); int64(n) != size {
			return "it has not as many bytes as were asked for"
		}
	}
	for _, name := range []protoreflect.Name{"CiphertextBlob", "PrivateKeyCiphertextBlob"} {
		if blob := bytesField(got, name); len(blob) > 0 && fields.ByName("KeyVersionId") != nil {
			if _, ok := kmsmigrate.BlobVersion(bytes.TrimPrefix(blob, advanceHead)); headed(blob) != "" || !ok {
				return "the ciphertext has not the form that it must have"
			}
		}
	}
	return ""
}

func bytesField(m protoreflect.Message, name protoreflect.Name) []byte {
	if field := m.Descriptor().Fields().ByName(name); field != nil && field.Kind() == protoreflect.BytesKind {
		return m.Get(field).Bytes()
	}
	return nil
}

func stringField(m protoreflect.Message, name protoreflect.Name) string {
	if field := m.Descriptor().Fields().ByName(name); field != nil && field.Kind() == protoreflect.StringKind {
		return m.Get(field).String()
	}
	return ""
}

func numberField(m protoreflect.Message, names ...protoreflect.Name) int64 {
	for _, name := range names {
		if field := m.Descriptor().Fields().ByName(name); field != nil {
			return m.Get(field).Int()
		}
	}
	return 0
}
