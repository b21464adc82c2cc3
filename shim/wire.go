package shim

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// params are the parameters of an operation, without those that every request has.
type params map[string]string

// with returns a copy in which some parameters have other values; an empty value takes one away.
func (p params) with(pairs ...string) params {
	out := maps.Clone(p)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			delete(out, pairs[i])
		} else {
			out[pairs[i]] = pairs[i+1]
		}
	}
	return out
}

// asked is a request in the RPC style, read.
type asked struct {
	action, version string
	format          string // JSON or XML
	params          params
	common          params // what every request has: signature, access key, time
	doubled         bool   // a name has two values
}

// commonNames are the parameters that the shim makes itself for each side.
var commonNames = []string{"AccessKeyId", "Action", "Format", "RegionId", "SecurityToken", "Signature", "SignatureMethod", "SignatureNonce", "SignatureType", "SignatureVersion", "Timestamp", "Version", "BearerToken"}

const mostRequest = 3 << 20 // the service refuses more (instance API: 413 above 3 MB)

var errParams = errors.New("the parameters cannot be read")

// readRequest reads query and form; of two values of one name the first counts. The official SDK puts everything into the query; a
// form is what other clients send. The action of a request with the newest signature stands in a header.
func readRequest(r *http.Request, body []byte) (asked, error) {
	q := asked{params: params{}, common: params{}}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, errParams
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "application/x-www-form-urlencoded" && len(body) > 0 {
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return q, errParams
		}
		for name, all := range form {
			values[name] = append(values[name], all...)
		}
	}
	for name, all := range values {
		if !utf8.ValidString(name) || !utf8.ValidString(all[0]) {
			return q, errParams
		}
		q.doubled = q.doubled || len(all) > 1
		if slices.Contains(commonNames, name) {
			q.common[name] = all[0]
		} else {
			q.params[name] = all[0]
		}
	}
	q.action, q.version = q.common["Action"], q.common["Version"]
	for name, into := range map[string]*string{"x-acs-action": &q.action, "x-acs-version": &q.version} {
		if *into == "" {
			*into = header(r, name)
		}
	}
	q.format = "JSON"
	if strings.EqualFold(q.common["Format"], "XML") {
		q.format = "XML"
	}
	return q, nil
}

// header finds a header under whatever spelling: the official SDK writes its own in lower case, past net/http's spelling.
func header(r *http.Request, name string) string {
	for spelled, all := range r.Header {
		if strings.EqualFold(spelled, name) && len(all) > 0 {
			return all[0]
		}
	}
	return ""
}

// readBody reads and closes a request's body.
func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	defer func() { _ = r.Body.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(r.Body, mostRequest+1))
	if err != nil || len(body) > mostRequest {
		return nil, errParams
	}
	return body, nil
}

// render writes an answer in the format that was asked for.
func (a *answer) render(action, format string) (body []byte, contentType string) {
	if format != "XML" {
		return a.body, "application/json;charset=utf-8"
	}
	root := action + "Response"
	if !a.ok() || action == "" {
		root = "KMS"
	}
	var b bytes.Buffer
	b.WriteString("<?xml version='1.0' encoding='UTF-8'?>")
	element(&b, root, a.fields)
	return b.Bytes(), "text/xml;charset=utf-8"
}

// element writes a JSON value as the service writes it in XML: an object's names are elements, a list is an element for each of its values.
func element(b *bytes.Buffer, name string, value any) {
	switch v := value.(type) {
	case []any:
		for _, one := range v {
			element(b, name, one)
		}
		return
	case nil:
		return
	case map[string]any:
		b.WriteString("<" + name + ">")
		for _, inner := range slices.Sorted(maps.Keys(v)) {
			element(b, inner, v[inner])
		}
	case json.Number:
		b.WriteString("<" + name + ">" + v.String())
	default:
		b.WriteString("<" + name + ">")
		_ = xml.EscapeText(b, []byte(fmt.Sprint(v))) // a Buffer takes everything
	}
	b.WriteString("</" + name + ">")
}
