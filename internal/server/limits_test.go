package server_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/pawltest"
)

// trusting makes the server trust X-Forwarded-For from this machine, so that a
// test can be many clients.
var trusting = pawltest.WithConfig(func(c *app.Config) {
	c.Limits.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
})

func (b *browser) try(status int, login, passwd, from string) string {
	b.Helper()
	resp, text := b.send("POST", "/v2/auth/login", fmt.Sprintf(`{"login":%q,"password":%q}`, login, passwd), "X-Forwarded-For: "+from)
	if resp.StatusCode != status {
		b.Fatalf("%s from %s: %d %s, want %d", login, from, resp.StatusCode, text, status)
	}
	return text + resp.Header.Get("Retry-After")
}

// TestGuessing: after five wrong passwords the next one waits, the right one
// too, of a login that is known or not; the answers are the same to the byte.
func TestGuessing(t *testing.T) {
	b := start(t, trusting)
	const owner, stranger = "192.0.2.1", "198.51.100.7"
	b.try(200, pawltest.Login, pawltest.Password, owner)
	for i, wait := range []int{1, 2, 4, 8} {
		if i == 0 {
			for range 4 {
				b.try(401, pawltest.Login, "wrong", stranger)
				b.try(401, "nobody", "wrong", stranger)
			}
		}
		if known, unknown := b.try(401, pawltest.Login, "wrong", stranger), b.try(401, "nobody", "wrong", stranger); known != unknown {
			t.Errorf("known %s, unknown %s", known, unknown)
		}
		wrong := b.try(429, pawltest.Login, "wrong", stranger)
		right := b.try(429, strings.ToUpper(pawltest.Login), pawltest.Password, stranger)
		unknown := b.try(429, "nobody", "wrong", stranger)
		if wrong != right || wrong != unknown || !strings.Contains(wrong, string(api.CodeRateLimitExceeded)) || !strings.HasSuffix(wrong, "}\n"+strconv.Itoa(wait)) {
			t.Errorf("wrong %s, right %s, unknown %s; want a wait of %d", wrong, right, unknown, wait)
		}
		b.Clock.Add(time.Duration(wait) * time.Second)
	}
	b.try(401, pawltest.Login, "wrong", stranger)
	b.try(200, pawltest.Login, pawltest.Password, owner)    // who need not wait
	b.try(429, pawltest.Login, pawltest.Password, stranger) // and forgives nobody else's guesses
	b.Clock.Add(16 * time.Second)
	b.try(200, pawltest.Login, pawltest.Password, stranger)
}

// TestGuessingWithAToken: who stole a token does not guess the password with it.
func TestGuessingWithAToken(t *testing.T) {
	b := start(t)
	bearer := "Authorization: Bearer " + b.login()
	guess := `{"currentPassword":"wrong","newPassword":"N3w$ecret!"}`
	for range 5 {
		b.expect(401, api.CodeInvalidCredentials, "PUT", "/v2/auth/password", guess, bearer)
	}
	b.expect(429, api.CodeRateLimitExceeded, "PUT", "/v2/auth/password", guess, bearer)
}

// TestGuessesRunOut: after 100 the account is closed to strangers for good,
// until someone who may set the password sets it, or resets the user.
func TestGuessesRunOut(t *testing.T) {
	b := start(t, trusting)
	peer, _ := b.addUser("peer@example.com", "MailboxAdmin", 1, 101)
	reset := fmt.Sprintf("/v2/users/reset/%d", pawltest.UserID)
	runOut := func() {
		t.Helper()
		for i := range 100 {
			b.try(401, pawltest.Login, "wrong", fmt.Sprintf("2001:db8:%x::1", i))
			b.Clock.Add(15 * time.Minute)
		}
		b.Clock.Add(400 * 24 * time.Hour)
		b.try(429, pawltest.Login, pawltest.Password, "192.0.2.1")
	}
	runOut()
	b.expect(200, "", "POST", reset, "", "X-API-Key: "+b.APIKey) // the user's own: a thief of it would guess on
	b.expect(200, "", "POST", reset, "", "X-API-Key: "+peer)     // who may not set the password
	b.try(429, pawltest.Login, pawltest.Password, "192.0.2.1")
	b.expect(200, "", "POST", reset, "", "X-API-Key: "+b.AdminAPIKey)
	b.try(200, pawltest.Login, pawltest.Password, "192.0.2.1")
	runOut()
	b.expect(200, "", "POST", "/v2/users/password", fmt.Sprintf(`{"userId":%d,"newPassword":"N3w$ecret!"}`, pawltest.UserID), "X-API-Key: "+b.AdminAPIKey)
	b.try(200, pawltest.Login, "N3w$ecret!", "192.0.2.1")
}

// TestForwardedFor: only a proxy that is trusted says who the client is, and
// it is asked from the right.
func TestForwardedFor(t *testing.T) {
	for name, c := range map[string]struct {
		option     pawltest.Option
		said, want string
	}{
		"nobody is trusted": {pawltest.WithConfig(func(*app.Config) {}), "192.0.2.1", "127.0.0.1"},
		"a client's claim":  {trusting, "192.0.2.1, 192.0.2.2", "192.0.2.2"},
		"two proxies":       {trusting, "192.0.2.1, 192.0.2.2, 127.0.0.9", "192.0.2.2"},
		"rubbish":           {trusting, "192.0.2.1, rubbish, 127.0.0.9", "127.0.0.9"},
		"nothing":           {trusting, "", "127.0.0.1"},
		"in IPv6":           {trusting, "::ffff:192.0.2.1", "192.0.2.1"},
		"with a port":       {trusting, "192.0.2.1:5044", "192.0.2.1"},
		"IPv6 with a port":  {trusting, "[2001:db8::1]:5044", "2001:db8::1"},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, c.option)
			_, text := b.send("POST", "/v2/auth/login", fmt.Sprintf(`{"login":%q,"password":%q}`, pawltest.Login, pawltest.Password), "X-Forwarded-For: "+c.said)
			_, token, _ := strings.Cut(text, `"token":"`)
			token, _, _ = strings.Cut(token, `"`)
			if _, list := b.send("POST", "/v2/auth/sessions", "{}", "Authorization: Bearer "+token); !strings.Contains(list, `"ip":"`+c.want+`"`) {
				t.Errorf("the session is from another address than %s: %s", c.want, list)
			}
		})
	}
}

func TestRates(t *testing.T) {
	b := start(t, trusting, pawltest.WithConfig(func(c *app.Config) { c.Limits.LoginRate, c.Limits.RefreshRate = 2, 1 }))
	b.try(200, pawltest.Login, pawltest.Password, "2001:db8::1")
	token := b.login()
	b.try(200, pawltest.Login, pawltest.Password, "2001:db8::2")
	if text := b.try(429, pawltest.Login, pawltest.Password, "2001:db8::3"); !strings.Contains(text, `"errorCode":"RateLimitExceeded"`) {
		t.Error(text)
	}
	b.try(200, pawltest.Login, pawltest.Password, "2001:db8:0:1::1")
	token = b.refresh(200, token)
	b.expect(429, api.CodeRateLimitExceeded, "POST", "/v2/auth/refresh", fmt.Sprintf(`{"token":%q}`, token))
	b.session(200, token)
}

// TestFull offers four times as many slow logins as may be in flight: those
// that find no place are refused while the others still run. Of those that are
// let in a busy machine may hash some too late, and says so with other words.
func TestFull(t *testing.T) {
	const most = 8
	slow := password.Params{MemoryKiB: 32 * 1024, Passes: 8}
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Argon2, c.Limits.MaxInFlight = slow, most }))
	type outcome struct {
		status int
		text   string
		after  string
	}
	var mu sync.Mutex // guards order
	var order []outcome
	var group sync.WaitGroup
	for range 4 * most {
		group.Go(func() {
			resp, text := b.send("POST", "/v2/auth/login", fmt.Sprintf(`{"login":%q,"password":%q}`, pawltest.Login, pawltest.Password))
			mu.Lock()
			defer mu.Unlock()
			order = append(order, outcome{resp.StatusCode, text, resp.Header.Get("Retry-After")})
		})
	}
	group.Wait()
	served, in, refused, early := 0, 0, 0, 0
	for _, o := range order {
		switch {
		case o.status == 200:
			served++
			in++
		case o.status == 503 && !strings.Contains(o.text, "at capacity"):
			in++
		case o.status == 503:
			if refused++; in < most {
				early++ // before those that were let in at first were done
			}
			if o.after == "" || !strings.HasPrefix(o.text, `{"success":false,"data":null,"errorCode":"Unavailable"`) {
				t.Errorf("refused with %q, Retry-After %q", o.text, o.after)
			}
		}
	}
	if served == 0 || in < most || in+refused != 4*most || early < most {
		t.Errorf("let in %d, served %d, refused %d (%d of them at once)", in, served, refused, early)
	}
	b.login()
}

// TestSlowBodies: clients that do not go on with their bodies hold no place,
// however many they are, and are served when they do. The bare handler is under
// test: pawltest reads the body before it.
func TestSlowBodies(t *testing.T) {
	a, err := app.Open(t.Context(), app.Config{Store: app.StoreAddress{Folder: t.TempDir()}, Limits: server.Limits{MaxInFlight: 1}, Argon2: password.Params{MemoryKiB: 64, Passes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	web := httptest.NewServer(a.Handler)
	defer web.Close()
	const body = `{"login":"nobody","password":"wrong"}`
	type client struct {
		net.Conn
		answers *bufio.Reader
	}
	slow := make([]client, 3)
	for i := range slow {
		conn := dial(t, web.Listener.Addr().String())
		defer conn.Close()
		slow[i] = client{conn, bufio.NewReader(conn)}
		fmt.Fprintf(conn, "POST /v2/auth/login HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body))
		// "Continue" says that the handler waits for the body.
		if resp, err := http.ReadResponse(slow[i].answers, nil); err != nil || resp.StatusCode != http.StatusContinue {
			t.Fatalf("client %d: %v, %v", i, resp, err)
		}
	}
	resp, err := web.Client().Get(web.URL + "/v2/auth/version")
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("beside slow clients: %v, %v", resp, err)
	}
	resp.Body.Close()
	for i, c := range slow {
		if _, err := io.WriteString(c, body); err != nil {
			t.Fatal(err)
		}
		if resp, err := http.ReadResponse(c.answers, nil); err != nil || resp.StatusCode != 401 {
			t.Errorf("client %d, when it goes on: %v, %v", i, resp, err)
		}
	}
}
