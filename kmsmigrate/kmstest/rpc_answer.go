package kmstest

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"net/http"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// answer is embedded in every successful answer. Field names of answers are the wire's: JSON and XML use the same.
type answer struct{ RequestId string }

func (a *answer) stamp(id string) { a.RequestId = id }

type stamped interface{ stamp(id string) }

// answerFormat writes answers and errors.
type answerFormat string

const (
	formatJSON answerFormat = "application/json;charset=utf-8"
	formatXML  answerFormat = "text/xml;charset=utf-8"

	xmlHead = `<?xml version='1.0' encoding='UTF-8'?>`
)

func (f answerFormat) success(action string, v stamped) reply {
	return f.write(http.StatusOK, action+"Response", v)
}

// failure is the error answer of the RPC style.
type failure struct {
	HttpStatus int
	HostId     string
	Code       string
	Message    string
	Recommend  string
	RequestId  string
}

func (f answerFormat) failure(e *model.Error, requestID, host string) reply {
	return f.write(e.Status, "KMS", failure{HttpStatus: e.Status, HostId: host, Code: e.Code, Message: e.Message, RequestId: requestID})
}

func (f answerFormat) write(status int, root string, v any) reply {
	var body []byte
	var err error
	if f == formatXML {
		b := bytes.NewBufferString(xmlHead)
		err = xml.NewEncoder(b).EncodeElement(v, xml.StartElement{Name: xml.Name{Local: root}})
		body = b.Bytes()
	} else {
		body, err = json.Marshal(v)
	}
	if err != nil {
		// Answers are plain structs of strings, numbers and lists; both encoders take them.
		panic("kmstest: " + err.Error())
	}
	return reply{status: status, contentType: string(f), body: body}
}
