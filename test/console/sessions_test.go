package console_test

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

// signedIn opens a session by the API, and returns a client with its token.
func signedIn(t *testing.T, pawl *pawltest.Server) *client.Client {
	t.Helper()
	c := pawl.Client()
	token, err := c.Login(t.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	return pawl.Client(client.WithBearer(token.Token))
}

func live(t *testing.T, c *client.Client) bool {
	t.Helper()
	_, err := c.Session(t.Context())
	return err == nil
}

func (b tab) disableScripts() {
	b.Helper()
	off := emulation.SetScriptExecutionDisabledParams{Value: true}
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, off); err != nil {
		b.Fatal(err)
	}
}

// TestWithoutScript opens each page without the script, and ends a selection of the sessions. No control that only the
// script can use is visible.
func TestWithoutScript(t *testing.T) {
	pawl := newPawl(t)
	seed(t, pawl, 0)
	b := newTab(t, pawl)
	b.disableScripts()
	b.signIn(pawltest.AdminLogin, pawltest.AdminPassword)
	for name, path := range pages() {
		b.open(path)
		const dead = `[...document.querySelectorAll("[data-all], [data-copy]")].some((e) => e.checkVisibility())`
		if b.text("h1") == "(none)" || eval[bool](b, dead) {
			t.Errorf("%s has no heading, or a control without an effect", name)
		}
	}
	b.open("/sessions?address=203.0.113.")
	b.click("[name=s]")
	b.click("#found tr:nth-child(3) [name=s]")
	if effect := b.confirm("#found button"); !strings.HasPrefix(effect, "Ends 2 sessions.") {
		t.Errorf("the question is %q", effect)
	}
	if sessions := liveSessions(t, pawl, ofPerson); len(sessions) != 2 {
		t.Errorf("%d sessions are live, want 2 of 4", len(sessions))
	}
}

// TestEndSessions finds a person by the beginning of the name, ends one session, and then all. Without the script it
// does the same.
func TestEndSessions(t *testing.T) {
	for name, scripts := range map[string]bool{"with the script": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			pawl := newPawl(t)
			sessions := []*client.Client{signedIn(t, pawl), signedIn(t, pawl), signedIn(t, pawl)}
			b := newTab(t, pawl)
			if !scripts {
				b.disableScripts()
			}
			b.signIn(pawltest.AdminLogin, pawltest.AdminPassword)
			b.open("/people")
			b.fill("q", "smi")
			if !scripts {
				b.click(".search button")
			}
			b.until(`document.querySelectorAll("#found tbody tr").length === 1`)
			b.click("#found tbody a")
			b.until(`document.querySelectorAll("#sessions-table tbody tr").length === 3`)
			effect := b.confirm("#sessions-table tbody tr:nth-child(2) a[data-ask]")
			if !strings.Contains(effect, "127.0.0.1") {
				t.Errorf("the question is %q", effect)
			}
			if got := b.text(".notice"); got != "The session has ended." {
				t.Errorf("the notice is %q", got)
			}
			alive := 0
			for _, session := range sessions {
				if live(t, session) {
					alive++
				}
			}
			if alive != 2 {
				t.Errorf("%d sessions are live, want 2", alive)
			}
			if effect := b.confirm("#end-all"); !strings.HasPrefix(effect, "Ends 2 sessions of ") {
				t.Errorf("the question is %q", effect)
			}
			for _, session := range sessions {
				if live(t, session) {
					t.Error("a session is live after the end of all")
				}
			}
			b.click("#you button")
			b.until(`!!document.querySelector("[name=password]")`)
			b.open("/people")
			if at := b.at(); at != "/console/sign-in" {
				t.Errorf("after the sign-out, a page of the console is at %s", at)
			}
		})
	}
}
