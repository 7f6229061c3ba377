package server

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestNoSlotForBody checks that a request gets the error for a full server, and not an error about the body, if its
// slot was taken while its body arrived.
func TestNoSlotForBody(t *testing.T) {
	full := &limiter{Limits: Limits{MaxInFlight: 1}}
	full.inFlight.Store(1)
	request := func(media, text string) *http.Request {
		body := &slot{ReadCloser: io.NopCloser(strings.NewReader(text)), limiter: full}
		return &http.Request{Header: http.Header{"Content-Type": {media}}, Body: body}
	}
	var body struct{ Token string }
	if err := decode(request("application/json", `{"token":"x"}`), &body); !errors.Is(err, errAtCapacity) {
		t.Errorf("JSON: %v", err)
	}
	if _, err := readForm(request(formType, "token=x")); !errors.Is(err, errAtCapacity) {
		t.Errorf("a form: %v", err)
	}
	if n := full.inFlight.Load(); n != 1 {
		t.Errorf("%d slots are held, want 1", n)
	}
}
