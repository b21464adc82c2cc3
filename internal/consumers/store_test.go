package consumers_test

import (
	"bytes"
	"hash/crc64"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// store is as much of an object storage as the OSS SDK's crypto bucket needs: PUT and GET of objects with metadata, whole or in part.
type store struct {
	mu      sync.Mutex
	objects map[string]object
}

type object struct {
	body []byte
	meta http.Header
}

func startStore(t *testing.T) (*store, string) {
	t.Helper()
	s := &store{objects: map[string]object{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method {
	case http.MethodPut:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "the body broke off", http.StatusBadRequest)
			return
		}
		put := object{body: body, meta: http.Header{}}
		for name, values := range r.Header {
			if strings.HasPrefix(name, "X-Oss-Meta-") {
				put.meta[name] = values
			}
		}
		s.objects[r.URL.Path] = put
		w.Header().Set("X-Oss-Hash-Crc64ecma", strconv.FormatUint(crc64.Checksum(body, crc64.MakeTable(crc64.ECMA)), 10))
	case http.MethodGet, http.MethodHead:
		got, found := s.objects[r.URL.Path]
		if !found {
			http.NotFound(w, r)
			return
		}
		for name, values := range got.meta {
			w.Header()[name] = values
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(got.body))
	default:
		http.Error(w, "the stand-in cannot do that", http.StatusNotImplemented)
	}
}

// holds reports whether any object holds text.
func (s *store) holds(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.objects {
		if bytes.Contains(o.body, []byte(text)) {
			return true
		}
	}
	return false
}
