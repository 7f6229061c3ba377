package console_test

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/pawltest"
)

// visitor sends requests without a browser, and does not follow redirects.
type visitor struct {
	tb     testing.TB
	url    string
	cookie string
	header http.Header // of every request
}

// send sends a request. A form makes it a POST.
func (v *visitor) send(path string, form url.Values, header ...string) (*http.Response, string) {
	v.tb.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(v.tb.Context(), method, v.url+path, body)
	if err != nil {
		v.tb.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for name, values := range v.header {
		r.Header[name] = values
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	if v.cookie != "" {
		r.Header.Set("Cookie", v.cookie)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		v.tb.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		v.tb.Fatal(err)
	}
	return response, string(text)
}

// signIn signs in, keeps the cookie, and returns the response.
func (v *visitor) signIn(login, password, next string) *http.Response {
	v.tb.Helper()
	form := url.Values{"login": {login}, "password": {password}, "next": {next}}
	response, text := v.send("/sign-in", form)
	set := response.Header.Get("Set-Cookie")
	if response.StatusCode != http.StatusSeeOther || set == "" {
		v.tb.Fatalf("the sign-in has %s, %s", response.Status, text)
	}
	v.cookie, _, _ = strings.Cut(set, ";")
	return response
}

// nextPage matches the link to the next page of a list.
var nextPage = regexp.MustCompile(`href="/console(/[^"]*)" rel="next"`)

// pagesFrom returns the pages of a list, from a path on.
func (v *visitor) pagesFrom(path string) (pages []string) {
	v.tb.Helper()
	for range 50 {
		response, text := v.send(path, nil)
		if response.StatusCode != http.StatusOK {
			v.tb.Fatalf("%s has %s", path, response.Status)
		}
		pages = append(pages, text)
		next := nextPage.FindStringSubmatch(text)
		if next == nil {
			return pages
		}
		path = html.UnescapeString(next[1])
	}
	v.tb.Fatalf("the pages before %s have no end", path)
	return nil
}

func newVisitor(t *testing.T, pawl *pawltest.Server) *visitor {
	t.Helper()
	return &visitor{tb: t, url: pawl.URL + "/console"}
}

func adminVisitor(t *testing.T, pawl *pawltest.Server) *visitor {
	t.Helper()
	v := newVisitor(t, pawl)
	v.signIn(pawltest.AdminLogin, pawltest.AdminPassword, "")
	return v
}

// TestHeaders checks that no page is cached, framed, or may load anything foreign, and that no page has the token.
func TestHeaders(t *testing.T) {
	pawl := newPawl(t)
	v := adminVisitor(t, pawl)
	_, token, _ := strings.Cut(v.cookie, "=")
	for name, path := range pages() {
		response, text := v.send(path, nil)
		h := response.Header
		policy := h.Get("Content-Security-Policy")
		if h.Get("Cache-Control") != "no-store" || h.Get("X-Frame-Options") != "DENY" ||
			h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "same-origin" ||
			!strings.HasPrefix(policy, "default-src 'none'; script-src 'self';") ||
			!strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s has the headers %v", name, h)
		}
		if strings.Contains(text, token) || strings.Contains(text, "<script>") || strings.Contains(text, " style=") {
			t.Errorf("%s has the token, or an inline script or style", name)
		}
	}
}

// TestForeignForms sends the forms of a page of another origin, with the cookie. None may have an effect.
func TestForeignForms(t *testing.T) {
	pawl := newPawl(t)
	session := signedIn(t, pawl)
	v := adminVisitor(t, pawl)
	person := fmt.Sprintf("/people/%d", pawltest.UserID)
	forms := map[string]url.Values{
		person + "/end-all": {}, person + "/suspend": {}, person + "/remove": {}, "/sign-out": {},
		person + "/password":   {"password": {"N3w!password"}},
		"/people/new":          {"login": {"x@example.com"}, "level": {"Root"}},
		"/signing-keys/rotate": {}, person + "/keys": {"scope": {"Full"}},
		"/sign-in": {"login": {pawltest.Login}, "password": {pawltest.Password}},
	}
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"},
		{"Origin", "null"}, {"Origin", "http://127.0.0.1:1"},
	} {
		for path, form := range forms {
			response, _ := v.send(path, form, header...)
			if response.StatusCode != http.StatusForbidden || response.Header.Get("Set-Cookie") != "" {
				t.Errorf("%s with %v: %s", path, header, response.Status)
			}
		}
	}
	if response, _ := v.send("/people", nil); response.StatusCode != http.StatusOK || !live(t, session) {
		t.Errorf("afterwards the page has %s, and the session is live: %v", response.Status, live(t, session))
	}
	keys, err := adminOf(pawl).SigningKeys(t.Context())
	if err != nil || len(keys) != 1 {
		t.Errorf("afterwards there are %d signing keys, %v", len(keys), err)
	}
	if response, _ := v.send(person+"/end-all", url.Values{}, "Sec-Fetch-Site", "same-origin"); response.StatusCode !=
		http.StatusSeeOther || live(t, session) {
		t.Errorf("the console's own form has %s", response.Status)
	}
}

// TestFixation plants a cookie before a sign-in. The sign-in must replace it, and the sign-out must end the session.
func TestFixation(t *testing.T) {
	pawl := newPawl(t)
	attacker := newVisitor(t, pawl)
	attacker.signIn(pawltest.Login, pawltest.Password, "")
	v := newVisitor(t, pawl)
	v.cookie = attacker.cookie
	v.signIn(pawltest.AdminLogin, pawltest.AdminPassword, "")
	if v.cookie == attacker.cookie {
		t.Fatal("the sign-in kept the planted cookie")
	}
	if _, text := attacker.send("/people", nil); strings.Contains(text, `title="Your account">admin`) {
		t.Error("the planted cookie is the administrator's")
	}
	v.send("/sign-out", url.Values{})
	response, _ := v.send("/people", nil)
	if response.Header.Get("Location") != "/console/sign-in?next=%2Fconsole%2Fpeople" {
		t.Errorf("after the sign-out the cookie still has %s", response.Status)
	}
}

// TestForeignTokens puts tokens into the cookie that are not of a sign-in by a browser.
func TestForeignTokens(t *testing.T) {
	pawl := newPawl(t)
	token, err := pawl.Client().Login(t.Context(), pawltest.AdminLogin, pawltest.AdminPassword)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{token.Token, pawl.AdminAPIKey, "x", "a.b.c"} {
		v := newVisitor(t, pawl)
		v.cookie = "pawl-console=" + value
		if response, _ := v.send("/people", nil); response.StatusCode != http.StatusSeeOther {
			t.Errorf("the cookie %.20q has %s", value, response.Status)
		}
	}
	events, err := adminOf(pawl).Audit(t.Context(), api.AuditRequest{Kind: api.EventRefreshRefused})
	if err != nil || len(events) != 1 { // for the token of the API
		t.Errorf("the audit has %d events, %v, want 1", len(events), err)
	}
	if !live(t, pawl.Client(client.WithBearer(token.Token))) {
		t.Error("the session of the API has ended")
	}
}

// TestRedirects signs in with addresses to go to next. None may lead out of the console.
func TestRedirects(t *testing.T) {
	pawl := newPawl(t)
	v := newVisitor(t, pawl)
	for next, want := range map[string]string{
		"/console/people?q=a":                "/console/people?q=a",
		"/console/audit?kind=login":          "/console/audit?kind=login",
		"https://evil.example/console/":      "/console/",
		"//evil.example/console/people":      "/console/",
		`/\evil.example/console/`:            "/console/",
		"/console//evil.example":             "/console/",
		"/console/../v2/auth/logout":         "/console/",
		"/console/%2e%2e/docs":               "/console/",
		"javascript:alert(1)":                "/console/",
		"/consolexyz/people":                 "/console/",
		"/console/people\r\nSet-Cookie: a=b": "/console/",
		"":                                   "/console/",
	} {
		response := v.signIn(pawltest.AdminLogin, pawltest.AdminPassword, next)
		if got := response.Header.Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

// TestCookieAttributes checks the cookie behind a gateway and on loopback, and that a plain connection over a network
// takes no password.
func TestCookieAttributes(t *testing.T) {
	pawl := newPawl(t)
	v := newVisitor(t, pawl)
	form := url.Values{"login": {pawltest.AdminLogin}, "password": {pawltest.AdminPassword}}
	for _, test := range []struct {
		header []string
		prefix string // of the cookie
		want   []string
	}{
		{header: nil, prefix: "pawl-console=", want: []string{"HttpOnly", "SameSite=Strict", "Path=/console"}},
		{
			header: []string{"Host", "auth.example.com", "X-Forwarded-Proto", "https"},
			prefix: "__Host-pawl-console=", want: []string{"HttpOnly", "SameSite=Strict", "Secure", "Path=/"},
		},
		{ // a gateway that hides the Host
			header: []string{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Proto", "https"},
			prefix: "__Host-pawl-console=", want: []string{"Secure"},
		},
	} {
		response, _ := v.send("/sign-in", form, test.header...)
		set := response.Header.Get("Set-Cookie")
		for _, attribute := range test.want {
			if !strings.HasPrefix(set, test.prefix) || !strings.Contains(set+";", "; "+attribute+";") {
				t.Errorf("with %v the cookie is %q, want %s", test.header, set, attribute)
			}
		}
	}
	for _, header := range [][]string{
		{"Host", "auth.example.com"},
		{"Origin", "https://auth.example.com", "Sec-Fetch-Site", "same-origin"}, // a gateway that hides the Host
		{"Origin", "http://auth.example.com", "Sec-Fetch-Site", "same-origin"},
	} {
		response, text := v.send("/sign-in", form, header...)
		if response.StatusCode != http.StatusForbidden || response.Header.Get("Set-Cookie") != "" ||
			!strings.Contains(text, "HTTPS") {
			t.Errorf("with %v, and perhaps without encryption, the sign-in has %s", header, response.Status)
		}
	}
}

// TestNginxDefaults signs in through nginx on the same machine without a configuration for the console. The console
// cannot see whether the browser has HTTPS, so it takes no password.
func TestNginxDefaults(t *testing.T) {
	v := newVisitor(t, newPawl(t))
	form := url.Values{"login": {pawltest.AdminLogin}, "password": {pawltest.AdminPassword}}
	address := strings.TrimPrefix(v.url, "http://")
	address, path, _ := strings.Cut(address, "/")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /%s/sign-in HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		path, address, len(form.Encode()), form.Encode())
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusForbidden || response.Header.Get("Set-Cookie") != "" {
		t.Errorf("the sign-in has %s and %q", response.Status, response.Header.Get("Set-Cookie"))
	}
}

// TestLostRights opens forms as an administrator who then loses the level. The write must be refused.
func TestLostRights(t *testing.T) {
	pawl := newPawl(t)
	admin := adminOf(pawl)
	const login, password = "second@example.com", "S3cond!admin"
	user := api.CreateUserRequest{Login: login, Password: password, AuthLevel: api.LevelRoot}
	second, err := admin.CreateUser(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	session := signedIn(t, pawl)
	v := newVisitor(t, pawl)
	v.signIn(login, password, "")
	person := fmt.Sprintf("/people/%d", pawltest.UserID)
	if response, _ := v.send(person+"/suspend", nil); response.StatusCode != http.StatusOK {
		t.Fatalf("the question has %s", response.Status)
	}
	demoted := api.RoleRequest{UserID: second.UserID, AuthLevel: api.LevelMailboxUser}
	if _, err := admin.SetRole(t.Context(), demoted); err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"/suspend", "/remove", "/end-all", "/role", "/password", "/keys"} {
		form := url.Values{"level": {"Root"}, "password": {"N3w!password"}, "scope": {"Full"}}
		if response, _ := v.send(person+action, form); response.StatusCode != http.StatusForbidden {
			t.Errorf("%s has %s", action, response.Status)
		}
	}
	if !live(t, session) {
		t.Error("the session has ended")
	}
}

// TestPrefix uses the console behind gateways that serve Pawl below a path, one of which removes the path.
func TestPrefix(t *testing.T) {
	below := pawltest.WithConfig(func(c *app.Config) { c.PublicURL = "https://example.com/auth" })
	pawl := newPawl(t, below)
	for _, path := range []string{"/console", "/auth/console"} {
		v := &visitor{tb: t, url: pawl.URL + path, header: http.Header{"X-Forwarded-Proto": {"https"}}}
		response := v.signIn(pawltest.AdminLogin, pawltest.AdminPassword, "/auth/console/people?q=x")
		if to := response.Header.Get("Location"); to != "/auth/console/people?q=x" {
			t.Errorf("the sign-in leads to %s", to)
		}
		response, text := v.send("/people", nil)
		if response.StatusCode != http.StatusOK || strings.Contains(text, `"/console`) ||
			!strings.Contains(text, `href="/auth/console/console.css"`) {
			t.Errorf("%s: the page has %s", path, response.Status)
		}
	}
}
