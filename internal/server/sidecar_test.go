package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/server"
)

// TestSidecarOfASilentPawl sends a request with an API key through a sidecar to a Pawl that accepts it, and does not
// answer. The gateway must get a 503, and the sidecar must not keep the request.
func TestSidecarOfASilentPawl(t *testing.T) {
	ended := make(chan struct{})
	pawl := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(ended)
	}))
	t.Cleanup(pawl.Close)
	upstream, err := url.Parse(pawl.URL)
	if err != nil {
		t.Fatal(err)
	}
	sidecar := httptest.NewServer(server.NewSidecar(server.SidecarConfig{
		Upstream: upstream, Timeout: 50 * time.Millisecond,
	}))
	t.Cleanup(sidecar.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, sidecar.URL+"/forward-auth", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-API-Key", "pawl_any")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", response.Status, response.Header.Get("Retry-After"))
	}
	<-ended
}
