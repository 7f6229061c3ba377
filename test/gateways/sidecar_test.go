//go:build linux

package gateways_test

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/test/testbin"
	"github.com/pawlauth/pawl/pawltest"
)

// startSidecar starts a Pawl with a clock that runs, and a sidecar of it that is ready.
func startSidecar(t *testing.T) (*pawltest.Server, *testbin.Server) {
	t.Helper()
	pawl := pawltest.New(t, pawltest.WithAlgorithm("ES256"), pawltest.WithConfig(func(c *app.Config) {
		c.Clock = time.Now
		c.Cookie = "lax"
	}))
	key, err := pawl.Client(client.WithAPIKey(pawl.AdminAPIKey)).CreateAPIKey(t.Context(), api.CreateAPIKeyRequest{
		UserID: pawltest.AdminID, Visibility: api.VisibilityPrivate, Scope: api.ScopeVerify,
	})
	if err != nil {
		t.Fatal(err)
	}
	sidecar := testbin.StartSidecar(t, testbin.Build(t), []string{"PAWL_API_KEY=" + key.Key},
		"--upstream", pawl.URL, "--metrics-addr", "127.0.0.1:0")
	awaitStatus(t, "the sidecar is not ready", 200, func() int { return statusOf(t, sidecar.URL+"/readyz") })
	return pawl, sidecar
}

func statusOf(t *testing.T, url string) int {
	t.Helper()
	resp, err := caller.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// awaitStatus calls until f returns a status.
func awaitStatus(t *testing.T, what string, want int, f func() int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); f() != want; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s: %s", what)
		}
	}
}

// answer is the part of a response that a gateway can see.
type answer struct {
	status int
	header http.Header
	body   string
}

func (a answer) equal(b answer) bool {
	same := func(x, y []string) bool { return slices.Equal(x, y) }
	return a.status == b.status && a.body == b.body && maps.EqualFunc(a.header, b.header, same)
}

// question sends a question of a gateway. The query comes after a question mark in the path.
func question(t *testing.T, base, method, path string, header http.Header) answer {
	t.Helper()
	req, err := http.NewRequest(method, base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header.Clone()
	resp, err := caller.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.Header["X-Request-Id"]) != 1 {
		t.Errorf("%s %s %v: the request ids are %v", method, path, header, resp.Header["X-Request-Id"])
	}
	resp.Header.Del("X-Request-Id")
	resp.Header.Del("Date")
	return answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
}

// TestSidecarAnswers sends the same questions to a Pawl and to its sidecar. The answers must be the same.
func TestSidecarAnswers(t *testing.T) {
	pawl, sidecar := startSidecar(t)
	api := pawl.Client()
	login := func() string {
		got, err := api.Login(t.Context(), pawltest.Login, pawltest.Password)
		if err != nil {
			t.Fatal(err)
		}
		return got.Token
	}
	token, superseded := login(), login()
	if _, err := api.Refresh(t.Context(), superseded); err != nil {
		t.Fatal(err)
	}
	preflight := http.Header{
		"Origin": {"https://app.example.com"}, "Access-Control-Request-Method": {"GET"},
		"X-Forwarded-Method": {"OPTIONS"},
	}
	for name, header := range map[string]http.Header{
		"nothing":            {},
		"token":              bearer(token),
		"superseded":         bearer(superseded),
		"lower-case scheme":  {"Authorization": {"bearer  " + token}},
		"forged":             bearer(token[:len(token)-4] + "AAAA"),
		"rubbish":            bearer("x"),
		"long":               bearer(strings.Repeat("x", 5000)),
		"empty":              {"Authorization": {"Bearer "}},
		"two tokens":         {"Authorization": {"Bearer " + token, "Bearer " + token}},
		"other scheme":       {"Authorization": {"Basic eDp5"}},
		"API key":            {"X-Api-Key": {pawl.APIKey}},
		"wrong API key":      {"X-Api-Key": {"x"}},
		"two API keys":       {"X-Api-Key": {pawl.APIKey, pawl.APIKey}},
		"empty API key":      {"X-Api-Key": {""}},
		"both":               {"Authorization": {"Bearer " + token}, "X-Api-Key": {pawl.APIKey}},
		"token, wrong key":   {"Authorization": {"Bearer " + token}, "X-Api-Key": {"x"}},
		"cookie":             {"Cookie": {"__Host-pawl=" + token}},
		"cookie, other page": {"Cookie": {"__Host-pawl=" + token}, "Sec-Fetch-Site": {"cross-site"}},
		"preflight":          preflight,
		"forged headers":     {"Authorization": {"Bearer " + token}, "X-Auth-User-Id": {"1"}},
	} {
		for _, path := range []string{
			"/forward-auth", "/forward-auth/", "/Forward-Auth", "/forward-auth/some/path",
			"/forward-auth?preflight=allow", "/forward-auth?level=General", "/forward-auth?level=Root",
			"/forward-auth?level=%zz", "/forward-auth?network=1", "/forward-auth?network=2",
			"/forward-auth?network=1&network=2", "/forward-auth?LEVEL=TechOps",
		} {
			for _, method := range []string{"GET", "POST", "OPTIONS"} {
				want := question(t, pawl.URL, method, path, header)
				if got := question(t, sidecar.URL, method, path, header); !got.equal(want) {
					t.Errorf("%s: %s %s: %+v, want %+v", name, method, path, got, want)
				}
			}
		}
	}
}

// TestSidecarBehindNginx puts a sidecar between nginx and Pawl. A known token costs Pawl no question, a superseded one
// is rejected within the bound, and nothing passes once Pawl has been unreachable for longer.
func TestSidecarBehindNginx(t *testing.T) {
	pawl, sidecar := startSidecar(t)
	url := start(t, "nginx", strings.TrimPrefix(sidecar.URL, "http://"), echo(t))
	checkForgedHeaders(t, url, pawl.APIKey)
	api := pawl.Client()
	old, err := api.Login(t.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	status, got := get(t, url, bearer(old.Token))
	if status != 200 {
		t.Fatalf("a valid token: %d, want 200", status)
	}
	checkUserHeaders(t, got, got.Get("X-Auth-Session-Id"))
	checkNoQuestion(t, sidecar, url, old.Token)
	fresh, err := api.Refresh(t.Context(), old.Token)
	if err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, "the superseded token passes", 401, func() int {
		status, _ := get(t, url, bearer(old.Token))
		return status
	})
	checkStatus(t, "the new token", url, bearer(fresh.Token), 200)
	pawl.Close()
	awaitStatus(t, "the token passes without Pawl", 503, func() int {
		status, _ := get(t, url, bearer(fresh.Token))
		return status
	})
	if got := statusOf(t, sidecar.URL+"/readyz"); got != 503 {
		t.Errorf("/readyz without Pawl: %d, want 503", got)
	}
	if got := statusOf(t, sidecar.URL+"/healthz"); got != 200 {
		t.Errorf("/healthz without Pawl: %d, want 200", got)
	}
	_ = sidecar.Process.Signal(syscall.SIGTERM)
	if err := sidecar.Wait(); err != nil {
		t.Errorf("the sidecar drains with %v, want exit code 0", err)
	}
}

// checkNoQuestion sends requests with a known token until one costs Pawl no question. While the feed is late, as it may
// be on a busy machine, each request costs one.
func checkNoQuestion(t *testing.T, sidecar *testbin.Server, url, token string) {
	t.Helper()
	scrape := func() string {
		resp, err := caller.Get(sidecar.Metrics)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		page, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(page)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		before := scrape()
		checkStatus(t, "a known token", url, bearer(token), 200)
		after := scrape()
		accepted := metric(t, after, `pawl_verifier_calls_total{outcome="accepted"}`) -
			metric(t, before, `pawl_verifier_calls_total{outcome="accepted"}`)
		asked := metric(t, after, "pawl_verifier_questions_total") - metric(t, before, "pawl_verifier_questions_total")
		if accepted == 1 && asked == 0 && metric(t, after, `pawl_verifier_state{state="stale"}`) == 0 {
			metric(t, after, `pawl_http_requests_total{code="200",method="GET",route="/forward-auth"}`)
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s, each request with a known token costs a question:\n%s", after)
		}
	}
}

// metric returns the value of a series in a scrape, which must have it.
func metric(t *testing.T, page, series string) float64 {
	t.Helper()
	_, rest, found := strings.Cut("\n"+page, "\n"+series+" ")
	text, _, _ := strings.Cut(rest, "\n")
	value, err := strconv.ParseFloat(text, 64)
	if !found || err != nil {
		t.Fatalf("the metrics lack %s:\n%s", series, page)
	}
	return value
}
