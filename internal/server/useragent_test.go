package server_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/pawltest"
)

// TestHostileUserAgent sends commands of terminals, and a mark that reverses the text after it, as the User-Agent.
// Neither the access log nor the list of sessions has them.
func TestHostileUserAgent(t *testing.T) {
	var lines bytes.Buffer // of a handler that locks
	b := start(t, pawltest.WithConfig(func(c *app.Config) {
		c.AccessLog = slog.New(slog.NewJSONHandler(&lines, nil))
	}))
	const agent, want = "Caf\u00e9\u009b31m\u009d0;title\u009c\u202e\xff 1", "Caf\u00e931m0;title 1"
	token := b.expect(200, "", "POST", "/v2/auth/login", credentials(pawltest.Login, pawltest.Password),
		"User-Agent: "+agent)
	sessions := data[[]api.Session](b, "POST", "/v2/auth/sessions", "{}", bearer(token))
	if got := sessions[0].UserAgent; got != want {
		t.Errorf("the session has %q, want %q", got, want)
	}
	b.Close() // after which there are all lines
	if log := lines.String(); !strings.Contains(log, `"agent":"`+want+`"`) {
		t.Errorf("the access log has %q", log)
	}
}

// TestNoSecretOfWrongHeader sends an API key, a part of it and a token in headers for other texts, in the path and in
// the query. The log, the access log, the audit, the list of sessions and the responses have none of them.
func TestNoSecretOfWrongHeader(t *testing.T) {
	var access bytes.Buffer // of a handler that locks
	log := &logBuffer{}
	b := start(t, log.option(), pawltest.WithConfig(func(c *app.Config) {
		c.AccessLog = slog.New(slog.NewJSONHandler(&access, nil))
		c.Limits.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	}))
	token := b.login()
	b.expect(401, api.CodeInvalidCredentials, "POST", "/v2/auth/login", credentials(pawltest.Login, "wrong"),
		"X-Request-Id: "+b.APIKey)
	var texts strings.Builder
	for _, secret := range []string{b.APIKey, b.APIKey[:len(b.APIKey)-8], token} {
		for _, name := range []string{
			"X-Request-Id: ", "User-Agent: ", "User-Agent: tool/1.0 " + strings.Repeat("x ", 110), "X-Forwarded-For: ",
			"X-Forwarded-For: fe80::1%", "Forwarded: for=", "Traceparent: ", "Tracestate: a=", "Origin: ", "Referer: ",
			"Idempotency-Key: ", "Content-Type: application/json; a=", "Accept: ", "X-Forwarded-Method: ",
		} {
			for _, call := range []struct{ method, path, body string }{
				{method: "POST", path: "/v2/auth/refresh?a=" + secret, body: tokenBody(token + "x")},
				{method: "GET", path: "/v2/auth/session"},
				{method: "GET", path: "/forward-auth/" + secret},
				{method: "GET", path: "/v2/" + secret},
			} {
				resp, text := b.send(call.method, call.path, call.body, name+secret)
				fmt.Fprintln(&texts, resp.Header, text)
			}
			if strings.HasPrefix(name, "User-Agent") {
				b.expect(200, "", "POST", "/v2/auth/login", credentials(pawltest.Login, pawltest.Password), name+secret)
			}
		}
	}
	_, sessions := b.send("POST", "/v2/auth/sessions", "{}", bearer(b.login()))
	_, audit := b.send("GET", "/v2/audit?recordsPerPage=500", "", b.admin())
	b.Close() // after which there are all lines
	for where, text := range map[string]string{
		"log": log.String(), "access log": access.String(), "audit": audit, "sessions": sessions,
		"responses": texts.String(),
	} {
		if len(text) < 1000 {
			t.Fatalf("%s: too short: %s", where, text)
		}
		for _, secret := range []string{b.APIKey[5:40], token[:40], token[len(token)-40:]} {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s: a secret in %s", where, text[max(at-200, 0):min(at+200, len(text))])
			}
		}
	}
}
