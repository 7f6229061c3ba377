package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// TestOpenByDevKey opens a session with the API key of dev.env for a user who does not exist yet, refreshes it with
// golang.org/x/oauth2 alone, and finds it in the list of all sessions. Then it replaces the key of dev.env by one that
// opens no sessions: the next start of "pawl dev" replaces that one.
func TestOpenByDevKey(t *testing.T) {
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	dev := testbin.StartDev(t, binary, data)
	open := func(externalID string) api.Token {
		t.Helper()
		c := testbin.Client(t, dev.Env["PAWL_URL"], client.WithAPIKey(dev.Env["ECGRID_API_KEY"]))
		token, err := c.OpenSession(t.Context(), api.OpenSessionRequest{
			ExternalID: externalID, User: &api.CreateUserRequest{Login: externalID},
		})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	opened := open("idp-1")
	config := oauth2.Config{ClientID: "any", Endpoint: oauth2.Endpoint{TokenURL: dev.Env["PAWL_URL"] + "/oauth2/token"}}
	expired := oauth2.Token{AccessToken: opened.Token, RefreshToken: opened.Token, Expiry: time.Now().Add(-time.Hour)}
	refreshed, err := config.TokenSource(t.Context(), &expired).Token()
	if err != nil || refreshed.AccessToken == opened.Token {
		t.Fatalf("refreshed %+v, %v", refreshed, err)
	}
	list := exec.CommandContext(t.Context(), binary, "session", "list", "--all", "--json")
	list.Env = []string{"PAWL_URL=" + dev.Env["PAWL_URL"], "PAWL_API_KEY=" + dev.Env["PAWL_ADMIN_API_KEY"]}
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	var sessions []api.Session
	if err := json.Unmarshal(out, &sessions); err != nil {
		t.Fatal(err)
	}
	if len(sessions) != 1 || sessions[0].UserID != opened.UserID || sessions[0].Refreshes != 1 {
		t.Errorf("the sessions are %s, want one of user %d with a refresh", out, opened.UserID)
	}

	admin := testbin.Client(t, dev.Env["PAWL_URL"], client.WithAPIKey(dev.Env["PAWL_ADMIN_API_KEY"]))
	narrow, err := admin.CreateAPIKey(t.Context(), api.CreateAPIKeyRequest{
		UserID: 4821, Visibility: api.VisibilityPrivate, Scope: api.ScopeVerify,
	})
	if err != nil {
		t.Fatal(err)
	}
	dev.Kill()
	path := filepath.Join(data, "dev.env")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.ReplaceAll(string(text), dev.Env["ECGRID_API_KEY"], narrow.Key)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	dev = testbin.StartDev(t, binary, data)
	if dev.Env["ECGRID_API_KEY"] == narrow.Key {
		t.Error("dev.env still has the API key of scope Verify")
	}
	open("idp-2")
}
