package server_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/pawltest"
)

const grantPath = "/oauth2/token"

// grant exchanges a token at /oauth2/token, and returns the new one.
func (b *browser) grant(text string, headers ...string) string {
	b.Helper()
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {text}}
	resp, body := b.form(grantPath, form.Encode(), headers...)
	var got api.TokenResponse
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != 200 {
		b.Fatalf("grant: %d %s", resp.StatusCode, body)
	}
	if got.TokenType != "Bearer" || got.ExpiresIn != 3600 || got.RefreshToken != got.AccessToken {
		b.Errorf("%s", body)
	}
	return got.AccessToken
}

// grantError checks the status and the code of a rejected form.
func (b *browser) grantError(status int, code, form string, headers ...string) {
	b.Helper()
	resp, body := b.form(grantPath, form, headers...)
	var got api.OAuthError
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != status || got.Code != code {
		b.Errorf("%s: %d %s, want %d %s", form, resp.StatusCode, body, status, code)
	}
}

// TestGrantRefreshToken checks that the grant follows the rules of a refresh: one successor, replays by their key, and
// theft.
func TestGrantRefreshToken(t *testing.T) {
	b := start(t)
	first := b.login()
	second := b.grant(first, "Idempotency-Key: k")
	b.session(200, second)
	b.session(401, first)
	b.Clock.Add(time.Minute)
	resp, body := b.form(grantPath, "grant_type=refresh_token&refresh_token="+first, "Idempotency-Key: k")
	if resp.StatusCode != 200 || !strings.Contains(body, second) || !strings.Contains(body, `"expires_in":3540,`) {
		t.Errorf("a replay: %d %s", resp.StatusCode, body)
	}
	b.grantError(400, "invalid_grant", "grant_type=refresh_token&refresh_token="+first)
	b.session(200, second) // a race with the replay
	b.Clock.Add(11 * time.Second)
	b.grantError(400, "invalid_grant", "grant_type=refresh_token&refresh_token="+first)
	b.session(401, second) // the reuse was taken for theft
	third := b.refresh(200, b.grant(b.login()))
	b.session(200, third)
}

// TestGrantLateReplay repeats a refresh after its successor has expired as a bearer.
func TestGrantLateReplay(t *testing.T) {
	b := start(t, pawltest.WithTokenLife(time.Minute), pawltest.WithIdleLife(time.Hour))
	form := "grant_type=refresh_token&refresh_token=" + b.login()
	for _, want := range []string{`"expires_in":60,`, `"expires_in":1,`} {
		resp, body := b.form(grantPath, form, "Idempotency-Key: k")
		if resp.StatusCode != 200 || !strings.Contains(body, want) {
			t.Errorf("%d %s, want %s", resp.StatusCode, body, want)
		}
		b.Clock.Add(90 * time.Second)
	}
}

// TestGrantErrors checks each rejected form, and that it changes nothing.
func TestGrantErrors(t *testing.T) {
	b := start(t)
	text := b.login()
	valid := "grant_type=refresh_token&refresh_token=" + text
	b.grantError(400, "invalid_request", "")
	b.grantError(400, "invalid_request", "refresh_token="+text)
	b.grantError(400, "invalid_request", "grant_type=refresh_token")
	b.grantError(400, "invalid_request", valid+"&grant_type=refresh_token")
	b.grantError(400, "unsupported_grant_type", "grant_type=password&username=a&password=b")
	b.grantError(400, "invalid_grant", "grant_type=refresh_token&refresh_token=rubbish")
	b.grantError(400, "invalid_grant", valid[:len(valid)-4]+"AAAA")
	b.grantError(401, "invalid_client", valid+"&client_secret=pawl_wrong")
	b.grantError(401, "invalid_client", valid, "X-API-Key: pawl_wrong")
	b.grantError(401, "invalid_client", valid, "Authorization: Digest x")
	b.grantError(400, "invalid_request", valid+"&client_secret="+b.APIKey, "X-API-Key: "+b.APIKey)
	if resp, _ := b.send("POST", grantPath, `{}`); resp.StatusCode != 415 {
		t.Errorf("JSON: %d, want 415", resp.StatusCode)
	}
	if resp, _ := b.send("GET", grantPath, ""); resp.StatusCode != 405 || resp.Header.Get("Allow") != "POST" {
		t.Errorf("GET: %d, want 405", resp.StatusCode)
	}
	b.session(200, text)
	bound := start(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.RefreshAPIKey = authority.APIKeyRequired }))
	text = bound.login()
	bound.grantError(401, "invalid_client", "grant_type=refresh_token&refresh_token="+text)
	bound.grant(text, "X-API-Key: "+bound.APIKey)
}

// TestOAuth2Library lets golang.org/x/oauth2 keep a session by itself, as a public client and with an API key.
func TestOAuth2Library(t *testing.T) {
	for name, secret := range map[string]bool{"public": false, "API key": true} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			config := oauth2.Config{ClientID: "orders", Endpoint: oauth2.Endpoint{TokenURL: b.URL + grantPath}}
			if secret {
				config.ClientSecret = b.APIKey
			}
			login := b.login()
			expired := &oauth2.Token{AccessToken: login, RefreshToken: login, Expiry: time.Now().Add(-time.Second)}
			source := config.TokenSource(t.Context(), expired)
			client := oauth2.NewClient(t.Context(), source)
			resp, err := client.Post(b.URL+"/v2/auth/session", "application/json", nil)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Fatal(resp, err)
			}
			resp.Body.Close()
			b.session(401, login)
			kept, err := source.Token()
			if err != nil || kept.RefreshToken == login || time.Until(kept.Expiry) < 50*time.Minute {
				t.Errorf("%+v, %v", kept, err)
			}
			b.session(200, kept.AccessToken)
		})
	}
}
