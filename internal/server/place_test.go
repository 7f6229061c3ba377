package server

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestNoPlaceForTheBody: where the place of a request is gone when its body is
// there, that is the server's affair (503), and not a body that is wrong.
func TestNoPlaceForTheBody(t *testing.T) {
	full := &limiter{Limits: Limits{MaxInFlight: 1}}
	full.inFlight.Store(1)
	request := func(media, text string) *http.Request {
		return &http.Request{Header: http.Header{"Content-Type": {media}}, Body: &place{ReadCloser: io.NopCloser(strings.NewReader(text)), limiter: full}}
	}
	var body struct{ Token string }
	if err := decode(request("application/json", `{"token":"x"}`), &body); !errors.Is(err, errFull) {
		t.Errorf("JSON: %v", err)
	}
	if _, err := readForm(request(formType, "token=x")); !errors.Is(err, errFull) {
		t.Errorf("a form: %v", err)
	}
	if n := full.inFlight.Load(); n != 1 {
		t.Errorf("%d places are held, want 1", n)
	}
}
