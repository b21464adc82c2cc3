package alikms

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"

	"github.com/alibabacloud-go/tea/tea"
	sdkerrors "github.com/aliyun/alibaba-cloud-sdk-go/sdk/errors"
	"github.com/aliyun/alibabacloud-dkms-gcs-go-sdk/openapi-util/protobuf/api"
	"google.golang.org/protobuf/proto"
)

// readReport reads an error answer, whatever its format: the gateways' JSON, the XML that they send for Format=XML and from
// older front ends, the instance's protobuf. A load balancer's page, an empty body and anything else give an empty report;
// the status then says what there is to know.
func readReport(body []byte) report {
	text := bytes.TrimSpace(body)
	switch {
	case len(text) == 0:
		return report{}
	case text[0] == '{':
		return readJSON(text)
	case text[0] == '<':
		return readXML(text)
	default:
		return readProtobuf(body)
	}
}

func readJSON(text []byte) report {
	var fields struct{ Code, Message, RequestID, HostID any }
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber() // a numeric code makes the official SDK panic
	if decoder.Decode(&fields) != nil {
		return report{}
	}
	return report{code: plain(fields.Code), message: plain(fields.Message), requestID: plain(fields.RequestID), hostID: plain(fields.HostID)}
}

func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		return ""
	}
}

func readXML(text []byte) report {
	var r report
	fields := map[string]*string{"Code": &r.code, "Message": &r.message, "RequestId": &r.requestID, "HostId": &r.hostID}
	decoder := xml.NewDecoder(bytes.NewReader(text))
	decoder.Strict = false
	var into *string
	for depth := 0; ; {
		token, err := decoder.Token()
		if err != nil {
			break
		}
		switch token := token.(type) {
		case xml.StartElement:
			depth++
			into = nil
			if depth == 2 {
				into = fields[token.Name.Local]
			}
		case xml.EndElement:
			depth--
			into = nil
		case xml.CharData:
			if into != nil {
				*into += strings.TrimSpace(string(token))
			}
		}
	}
	return r
}

func readProtobuf(body []byte) report {
	var e api.Error
	if proto.Unmarshal(body, &e) != nil {
		return report{}
	}
	return report{code: e.ErrorCode, message: e.ErrorMessage, requestID: e.RequestId}
}

// serverError makes the error type of alibaba-cloud-sdk-go from a redacted report, so that a caller's errors.As goes on
// working, also where that SDK would have had no code or have panicked.
func (r report) serverError(status int) error {
	body, err := json.Marshal(map[string]string{"Code": r.code, "Message": r.message, "RequestId": r.requestID, "HostId": r.hostID})
	if err != nil {
		body = nil
	}
	return sdkerrors.NewServerError(status, string(body), "")
}

// teaError makes the error type of the instance SDK, with what that SDK puts into it.
func (r report) teaError(status int) error {
	return tea.NewSDKError(map[string]any{
		"code": r.code, "message": r.message, "statusCode": status,
		"data": map[string]any{"httpCode": status, "requestId": r.requestID},
	})
}

// words is the part of a report for people.
func (r report) words(status int) string {
	switch {
	case r.message != "":
		return "the service says: " + r.message
	case r.code == "" && status != 0:
		return fmt.Sprintf("an answer with status %s and no error code", strconv.Itoa(status))
	default:
		return ""
	}
}
