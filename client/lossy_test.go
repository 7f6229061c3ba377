package client_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/pawltest"
)

// newPawl runs a server and compares its requests and responses with openapi.yaml.
func newPawl(t *testing.T, options ...pawltest.Option) *pawltest.Server {
	return pawltest.New(t, append(options, pawltest.WithHandler(apicheck.Handler(t)))...)
}

func newClient(t testing.TB, url string, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// serve runs an HTTP server and returns its address.
func serve(t *testing.T, h http.HandlerFunc) string {
	web := httptest.NewServer(h)
	t.Cleanup(web.Close)
	return web.URL
}

// lossy is a proxy in front of a Pawl that can lose responses: the server carries out the request, and the connection
// breaks. The embedded Server is Pawl itself, without the proxy.
type lossy struct {
	*pawltest.Server
	client *client.Client // calls through the proxy

	mu   sync.Mutex // guards the fields below
	drop int        // the number of responses to lose
	down bool       // whether no request reaches Pawl
	seen []*http.Request
}

func newLossy(t *testing.T, options ...pawltest.Option) *lossy {
	l := &lossy{Server: newPawl(t, options...)}
	web := httptest.NewServer(l)
	t.Cleanup(web.Close)
	web.Config.SetKeepAlivesEnabled(false) // net/http itself retries when a kept connection breaks
	l.client = newClient(t, web.URL)
	return l
}

func (l *lossy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.isDown() {
		panic(http.ErrAbortHandler)
	}
	req, err := http.NewRequestWithContext(r.Context(), r.Method, l.URL+r.URL.Path, r.Body)
	if err != nil {
		panic(err)
	}
	req.Header = r.Header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer resp.Body.Close()
	l.mu.Lock()
	l.seen = append(l.seen, r)
	dropped := l.drop > 0
	l.drop--
	l.mu.Unlock()
	if dropped {
		panic(http.ErrAbortHandler) // closes the connection
	}
	w.Header()["Date"] = resp.Header["Date"]
	w.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(w, resp.Body)
}

// lose loses the next n responses, and clears the list of requests.
func (l *lossy) lose(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop, l.seen = n, nil
}

// cut cuts or restores the connection to Pawl, and clears the list of requests.
func (l *lossy) cut(down bool) {
	l.lose(0)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

func (l *lossy) isDown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down
}

// requests returns the requests since the last lose.
func (l *lossy) requests() []*http.Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen
}

// paths returns the paths of the requests since the last lose.
func (l *lossy) paths() (paths []string) {
	for _, r := range l.requests() {
		paths = append(paths, r.URL.Path)
	}
	return paths
}

// login opens a session without the proxy.
func (l *lossy) login(t *testing.T) api.Token {
	t.Helper()
	token, err := l.Client().Login(t.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// passes reports whether Pawl accepts a token as a bearer. It calls without the proxy.
func (l *lossy) passes(t *testing.T, token string) bool {
	t.Helper()
	_, err := l.Client(client.WithBearer(token)).Session(t.Context())
	if err != nil && !errors.Is(err, client.ErrInvalidSession) {
		t.Fatal(err)
	}
	return err == nil
}

// resetUser ends every session of the user, without the proxy.
func (l *lossy) resetUser(t *testing.T) {
	t.Helper()
	admin := l.Client(client.WithAPIKey(l.AdminAPIKey))
	if err := admin.ResetUser(t.Context(), pawltest.UserID); err != nil {
		t.Fatal(err)
	}
}
