package kmstest

import (
	"cmp"
	"net/http"
)

// replace gives the answer the fault's body. A body that is an error brings its usual status unless the fault names one.
func (f Fault) replace(a reply) reply {
	json := "application/json;charset=utf-8"
	switch f.Body {
	case BodyEmpty:
		return reply{status: cmp.Or(f.Status, http.StatusOK), contentType: a.contentType}
	case BodyObject:
		return reply{status: cmp.Or(f.Status, http.StatusOK), contentType: json, body: []byte("{}")}
	case BodyNull:
		return reply{status: cmp.Or(f.Status, http.StatusOK), contentType: json, body: []byte("null")}
	case BodyHTML:
		return reply{status: cmp.Or(f.Status, http.StatusBadGateway), contentType: "text/html",
			body: []byte("<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n")}
	case BodyXMLError:
		return reply{status: cmp.Or(f.Status, http.StatusInternalServerError), contentType: "text/xml;charset=utf-8",
			body: []byte(xmlHead + "<KMS><Code>InternalFailure</Code><Message>Internal Failure</Message><RequestId>0</RequestId></KMS>")}
	case BodyNumericCode:
		return reply{status: cmp.Or(f.Status, http.StatusBadGateway), contentType: json, body: []byte(`{"Code":502,"Message":"Bad Gateway"}`)}
	case BodyTruncated:
		a.body = a.body[:len(a.body)/2]
		return a
	}
	return a
}
