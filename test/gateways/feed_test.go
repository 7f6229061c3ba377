//go:build linux

package gateways_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/pawltest"
)

// nginxInFrontOfPawl passes every request to Pawl, as docs/operations.md advises. It is the file that nginxFile
// includes.
const nginxInFrontOfPawl = `server {
    listen 127.0.0.1:8081;
    location / {
        proxy_pass http://127.0.0.1:8080;
        proxy_http_version 1.1;
        proxy_read_timeout 10s;
    }
}
`

// TestFeedBehindNginx follows the feed through nginx. A superseded token must be rejected by an event, and the stream
// must stay open.
func TestFeedBehindNginx(t *testing.T) {
	pawl := pawltest.New(t, pawltest.WithAlgorithm("ES256"), pawltest.WithConfig(func(c *app.Config) {
		c.Clock = time.Now
	}))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pawl.conf"), []byte(nginxInFrontOfPawl), 0o600); err != nil {
		t.Fatal(err)
	}
	url := startIn(t, dir, "nginx", "127.0.0.1:8080", strings.TrimPrefix(pawl.URL, "http://"))
	admin := pawl.Client(client.WithAPIKey(pawl.AdminAPIKey))
	key, err := admin.CreateAPIKey(t.Context(), api.CreateAPIKeyRequest{
		UserID: pawltest.AdminID, Visibility: api.VisibilityPrivate, Scope: api.ScopeVerify,
	})
	if err != nil {
		t.Fatal(err)
	}
	through, err := client.New(url, client.WithAPIKey(key.Key))
	if err != nil {
		t.Fatal(err)
	}
	verifier := client.NewVerifier(through, client.VerifierConfig{Bound: 5 * time.Second})
	defer verifier.Close()
	if err := verifier.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	old, err := pawl.Client().Login(t.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := verifier.Verify(t.Context(), old.Token); err != nil {
			t.Fatal(err)
		}
		next, err := pawl.Client().Refresh(t.Context(), old.Token)
		if err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(30 * time.Second)
		for !errors.Is(err, client.ErrInvalidSession) {
			if time.Now().After(deadline) {
				t.Fatal("after 30 s, a superseded token passes")
			}
			_, err = verifier.Verify(t.Context(), old.Token)
			time.Sleep(5 * time.Millisecond)
		}
		old = next
	}
	// A token that is issued more than 5 s after the beginning of the stream needs no question.
	got := verifier.Stats()
	if got.Asked < 1 || got.Asked > 3 || got.Changes != 3 || got.FeedFailures != 0 || got.Epochs != 1 {
		t.Errorf("figures: %+v, want one question for each early token, three changes, and one stream", got)
	}
}
