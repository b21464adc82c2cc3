package kmstest

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/keyhaul/keyhaul/kmsmigrate/kmstest/internal/model"
)

// params are the parameters of a request, wherever they stood. Signatures cover them all. There are about fifteen, so a list is quicker than
// a map.
type params []param

type param struct{ name, value string }

func (p params) lookup(name string) (string, bool) {
	for i := range p {
		if p[i].name == name {
			return p[i].value, true
		}
	}
	return "", false
}

// readParams collects query and form. What cannot be read leaves the rest usable, so that the answer has the right format.
func readParams(r *http.Request, body []byte) (params, *model.Error) {
	p := make(params, 0, 16)
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		p.parse(r.URL.RawQuery)
		return p, &model.Error{Status: http.StatusForbidden, Code: "UnsupportedHTTPMethod", Message: "This http method is not supported."}
	}
	ok := p.parse(r.URL.RawQuery)
	if r.Method == http.MethodPost && isForm(r) {
		ok = p.parse(string(body)) && ok
	}
	if !ok {
		return p, &model.Error{Status: http.StatusBadRequest, Code: "ParseRequestParameterException",
			Message: "Failed to parse the request parameters."}
	}
	return p, nil
}

func isForm(r *http.Request) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && kind == "application/x-www-form-urlencoded"
}

// parse adds the pairs of one encoded string. The first of two pairs with the same name counts.
func (p *params) parse(s string) bool {
	ok := true
	for pair := range strings.SplitSeq(s, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		name, err1 := url.QueryUnescape(k)
		value, err2 := url.QueryUnescape(v)
		if err1 != nil || err2 != nil || !utf8.ValidString(name) || !utf8.ValidString(value) {
			ok = false
			continue
		}
		if _, again := p.lookup(name); !again {
			*p = append(*p, param{name, value})
		}
	}
	return ok
}

func (p params) get(name string) string {
	value, _ := p.lookup(name)
	return value
}

// need returns a parameter that must be there.
func (p params) need(name string) (string, *model.Error) {
	if v := p.get(name); v != "" {
		return v, nil
	}
	return "", model.MissingParameter(name)
}

// boolean reads true or false; absent is false.
func (p params) boolean(name string) (bool, *model.Error) {
	v := p.get(name)
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(strings.ToLower(v))
	if err != nil {
		return false, model.InvalidParameter(name)
	}
	return b, nil
}

// integer reads a number between low and high; absent is otherwise.
func (p params) integer(name string, low, high, otherwise int) (int, *model.Error) {
	v := p.get(name)
	if v == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		return 0, model.InvalidParameter(name)
	}
	return n, nil
}

// base64 reads a parameter that holds binary data; absent is nil.
func (p params) base64(name string) ([]byte, *model.Error) {
	v := p.get(name)
	if v == "" {
		return nil, nil
	}
	b, err := decodeBase64(v)
	if err != nil {
		return nil, model.InvalidParameter(name)
	}
	return b, nil
}

// json reads a parameter that holds JSON; absent leaves into alone.
func (p params) json(name string, into any) *model.Error {
	v := p.get(name)
	if v == "" {
		return nil
	}
	if json.Unmarshal([]byte(v), into) != nil {
		return model.InvalidParameter(name)
	}
	return nil
}

// decodeBase64 takes the standard alphabet with padding, and no line breaks.
func decodeBase64(s string) ([]byte, error) {
	if strings.ContainsAny(s, "\r\n") {
		return nil, base64.CorruptInputError(0)
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

// page is one page of a list.
type page struct {
	TotalCount int
	PageNumber int
	PageSize   int
}

// paged cuts the page that the request asks for out of items.
func paged[T any](p params, items []T, largest int) ([]T, page, *model.Error) {
	number, err := p.integer("PageNumber", 1, 1<<30, 1)
	if err != nil {
		return nil, page{}, err
	}
	size, err := p.integer("PageSize", 1, largest, 10)
	if err != nil {
		return nil, page{}, err
	}
	out := page{TotalCount: len(items), PageNumber: number, PageSize: size}
	start := (number - 1) * size
	if start >= len(items) {
		return []T{}, out, nil
	}
	return items[start:min(start+size, len(items))], out, nil
}
