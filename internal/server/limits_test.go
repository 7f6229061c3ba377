package server_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/pawltest"
)

// TestForwardedFor checks the client's address for each form of X-Forwarded-For behind a trusted proxy, and that the
// header is ignored without one.
func TestForwardedFor(t *testing.T) {
	clientAddress := func(header string, options ...pawltest.Option) string {
		b := start(t, options...)
		login := credentials(pawltest.Login, pawltest.Password)
		token := data[api.Token](b, "POST", "/v2/auth/login", login, "X-Forwarded-For: "+header).Token
		return data[[]api.Session](b, "POST", "/v2/auth/sessions", "{}", bearer(token))[0].IP
	}
	if got := clientAddress("192.0.2.1"); got != "127.0.0.1" {
		t.Errorf("without a trusted proxy: the address is %s, want 127.0.0.1", got)
	}
	for name, c := range map[string]struct{ header, want string }{
		"an address of the client's choice": {"192.0.2.1, 192.0.2.2", "192.0.2.2"},
		"two trusted proxies":               {"192.0.2.1, 192.0.2.2, 127.0.0.9", "192.0.2.2"},
		"not an address":                    {"192.0.2.1, rubbish, 127.0.0.9", "127.0.0.9"},
		"empty":                             {"", "127.0.0.1"},
		"IPv4 in IPv6":                      {"::ffff:192.0.2.1", "192.0.2.1"},
		"a port":                            {"192.0.2.1:5044", "192.0.2.1"},
		"IPv6 with a port":                  {"[2001:db8::1]:5044", "2001:db8::1"},
		"IPv6 in brackets":                  {"192.0.2.1, [2001:db8::5]", "2001:db8::5"},
		"IPv4 in brackets":                  {"192.0.2.1, [192.0.2.2], 127.0.0.9", "127.0.0.9"},
		"one bracket":                       {"192.0.2.1, [2001:db8::5, 127.0.0.9", "127.0.0.9"},
		"an empty last element":             {"192.0.2.1, 192.0.2.2,", "192.0.2.2"},
		"empty elements between proxies":    {"192.0.2.1, 192.0.2.2:80, , [::1]:443,\t, 127.0.0.9:80 ,", "192.0.2.2"},
		"empty elements only":               {", ,", "127.0.0.1"},
	} {
		if got := clientAddress(c.header, trusting); got != c.want {
			t.Errorf("%s: the address is %s, want %s", name, got, c.want)
		}
	}
}

// TestRateLimits checks that the rates count per IPv6 /64, and that a rejected refresh does not supersede its token.
func TestRateLimits(t *testing.T) {
	b := start(t, trusting, pawltest.WithConfig(func(c *app.Config) {
		c.Limits.LoginRate = 2
		c.Limits.RefreshRate = 1
	}))
	b.try(200, pawltest.Login, pawltest.Password, "2001:db8::1")
	token := b.login()
	b.try(200, pawltest.Login, pawltest.Password, "2001:db8::2")
	rejected := b.try(429, pawltest.Login, pawltest.Password, "2001:db8::3")
	if !strings.Contains(rejected, `"errorCode":"RateLimitExceeded"`) {
		t.Error(rejected)
	}
	b.try(200, pawltest.Login, pawltest.Password, "2001:db8:0:1::1")
	token = b.refresh(200, token)
	b.expect(429, api.CodeRateLimitExceeded, "POST", "/v2/auth/refresh", tokenBody(token))
	b.session(200, token)
}

// TestForeignPagesDoNotCount lets pages of other origins send what needs no preflight. They must not use up the rate of
// their visitor's address. The same requests of the server's own pages, and of programs, count.
func TestForeignPagesDoNotCount(t *testing.T) {
	for name, s := range sites {
		t.Run(name, func(t *testing.T) {
			b := start(t, cookieMode(server.CookieLax), pawltest.WithConfig(func(c *app.Config) {
				c.Limits.LoginRate, c.Limits.RefreshRate = 3, 3
			}))
			token := b.login()
			b.refresh(200, token)
			for _, contentType := range []string{
				"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
			} {
				for path, code := range map[string]string{
					"/v2/auth/login": "AccessDenied", "/v2/auth/refresh": "AccessDenied",
					"/oauth2/token": "unauthorized_client",
				} {
					headers := append([]string{"Content-Type: " + contentType}, s.headers...)
					resp, text := b.send("POST", path, "grant_type=refresh_token&refresh_token=x", headers...)
					if refused := strings.Contains(text, code); refused == s.allowed || resp.StatusCode < 400 {
						t.Errorf("%s as %q: %d %s", path, contentType, resp.StatusCode, text)
					}
				}
			}
			status := 200
			if s.allowed {
				status = 429
			}
			body := credentials(pawltest.Login, pawltest.Password)
			if resp, text := b.send("POST", "/v2/auth/login", body); resp.StatusCode != status {
				t.Errorf("login: %d %s, want %d", resp.StatusCode, text, status)
			}
			if resp, text := b.send("POST", "/v2/auth/refresh", tokenBody("x")); (resp.StatusCode == 429) != s.allowed {
				t.Errorf("refresh: %d %s", resp.StatusCode, text)
			}
		})
	}
}

// TestRateOfSpellings checks that all spellings of a path share one rate.
func TestRateOfSpellings(t *testing.T) {
	rate := pawltest.WithConfig(func(c *app.Config) { c.Limits.LoginRate = 4 })
	b := &browser{t, pawltest.New(t, rate)} // without the OpenAPI check, because OpenAPI cannot describe the spellings
	login := credentials(pawltest.Login, pawltest.Password)
	for _, path := range []string{"/v2/auth/login", "/V2/Auth/Login", "/v2/auth/login/", "/v2/auth/%6Cogin"} {
		b.expect(200, "", "POST", path, login)
	}
	for _, path := range []string{"/v2/auth/login", "/V2/AUTH/LOGIN", "/v2/auth/login/", "/v2/auth/%6Cogin"} {
		b.expect(429, api.CodeRateLimitExceeded, "POST", path, login)
	}
}

// heldLogins is a store that holds each sign-in until released is closed.
type heldLogins struct {
	app.Store
	arrived  chan struct{} // receives for each held sign-in
	released chan struct{}
}

func (s heldLogins) UserByLogin(ctx context.Context, login string) (*authority.User, string, error) {
	s.arrived <- struct{}{}
	<-s.released
	return s.Store.UserByLogin(ctx, login)
}

// TestMaxInFlight holds as many logins as may be in flight. Further logins are rejected at once, and the held ones are
// answered. Each has another user, because the attempts of one user wait for one another.
func TestMaxInFlight(t *testing.T) {
	const maxInFlight = 8
	held := heldLogins{arrived: make(chan struct{}, 8*maxInFlight), released: make(chan struct{})}
	b := start(t, pawltest.WithConfig(func(c *app.Config) {
		c.Limits.MaxInFlight = maxInFlight
		c.WrapStore = func(s app.Store) app.Store { held.Store = s; return held }
	}))
	login := func(i int) (*http.Response, string) {
		return b.send("POST", "/v2/auth/login", credentials(fmt.Sprintf("nobody-%d", i), "wrong"))
	}
	var group sync.WaitGroup
	defer group.Wait()
	release := sync.OnceFunc(func() { close(held.released) })
	defer release()
	for i := range maxInFlight {
		group.Go(func() {
			if resp, text := login(i); resp.StatusCode != 401 {
				t.Errorf("a login in flight: %d %s", resp.StatusCode, text)
			}
		})
	}
	for range maxInFlight {
		select {
		case <-held.arrived:
		case <-time.After(time.Minute):
			t.Fatal("after a minute, there are fewer logins in flight")
		}
	}
	const atCapacity = `{"success":false,"data":null,"errorCode":"Unavailable",` +
		`"message":"The server is at capacity; retry after 1 s."}` + "\n"
	for i := range maxInFlight {
		resp, text := login(i)
		if resp.StatusCode != 503 || text != atCapacity || resp.Header.Get("Retry-After") != "1" {
			t.Errorf("one login too many: %d %s, Retry-After %q", resp.StatusCode, text, resp.Header.Get("Retry-After"))
		}
	}
	release()
	group.Wait()
	b.login()
}

// TestSlowBodies checks that clients hold no slot while they pause in the middle of a request, and that the server
// answers them once they continue.
func TestSlowBodies(t *testing.T) {
	// There is no OpenAPI check, because it would read the body before the limiter.
	b := &browser{t, pawltest.New(t, pawltest.WithConfig(func(c *app.Config) { c.Limits.MaxInFlight = 1 }))}
	body := credentials("nobody", "wrong")
	header := "POST /v2/auth/login HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" +
		fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
	type client struct {
		net.Conn
		responses *bufio.Reader
	}
	slow := make([]client, 3)
	for i := range slow {
		conn := dial(t, strings.TrimPrefix(b.URL, "http://"))
		slow[i] = client{conn, bufio.NewReader(conn)}
		if _, err := io.WriteString(conn, header); err != nil {
			t.Fatal(err)
		}
		// The status 100 shows that the handler waits for the body.
		resp, err := http.ReadResponse(slow[i].responses, nil)
		if err != nil || resp.StatusCode != http.StatusContinue {
			t.Fatalf("client %d: %v, %v", i, resp, err)
		}
	}
	b.expect(200, "", "GET", "/v2/auth/version", "")
	for i, c := range slow {
		if _, err := io.WriteString(c, body); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(c.responses, nil)
		if err != nil || resp.StatusCode != 401 {
			t.Errorf("client %d, with its body: %v, %v", i, resp, err)
		}
	}
}
