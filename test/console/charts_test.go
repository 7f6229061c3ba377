package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

// TestCharts lets people sign in, refresh and be rejected while the overview is open. The page updates itself, and each
// chart shows its own number.
func TestCharts(t *testing.T) {
	pawl := newPawl(t)
	b := asAdmin(t, pawl) // the first sign-in
	b.until(`!!document.querySelector(".charts")`)
	c := pawl.Client()
	token, err := c.Login(t.Context(), pawltest.Login, pawltest.Password)
	for range 3 {
		if err == nil {
			token, err = c.Refresh(t.Context(), token.Token)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Login(t.Context(), pawltest.Login, "wrong"); err == nil {
		t.Fatal("a wrong password signs in")
	}
	b.until(`[...document.querySelectorAll(".charts li")].map((chart) =>
		chart.querySelector(".chart-name").innerText + chart.querySelector("strong").innerText
	).join(" ") === "Live sessions2 Refreshes3 Sign-ins2 Rejected1 Thefts0"`)
}

// TestCopy copies a new API key into the clipboard.
func TestCopy(t *testing.T) {
	pawl := newPawl(t)
	b := asAdmin(t, pawl)
	for _, name := range []string{"clipboard-write", "clipboard-read"} {
		_, err := chromedp.CallBrowser(b.ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted,
			Origin: pawl.URL, BrowserContextID: chromedp.FromContext(b.ctx).BrowserContextID,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	b.open(fmt.Sprintf("/people/%d/keys", pawltest.UserID))
	b.submit()
	key := b.text("#key")
	b.click("[data-copy]")
	b.until(`document.querySelector("[data-copied]").innerText === "Copied."`)
	if got := eval[string](b, `navigator.clipboard.readText()`); got != key {
		t.Errorf("the clipboard has %q, want the API key", got)
	}
}

// TestRecordedEffects checks by the API when a new API key expires, and that the event of an action of the console has
// the administrator and the address.
func TestRecordedEffects(t *testing.T) {
	pawl := newPawl(t)
	admin := adminOf(pawl)
	v := adminVisitor(t, pawl)
	person := fmt.Sprintf("/people/%d", pawltest.UserID)
	now := pawl.Clock.Now()
	form := url.Values{"name": {"month"}, "scope": {"Verify"}, "days": {"30"}}
	if response, text := v.send(person+"/keys", form); response.StatusCode != http.StatusOK {
		t.Fatalf("%s, %s", response.Status, text)
	}
	keys, err := admin.ListAPIKeys(t.Context(), api.ListAPIKeysRequest{UserID: pawltest.UserID})
	if err != nil || len(keys) != 2 || keys[1].ExpiresAt == nil ||
		!keys[1].ExpiresAt.Equal(now.Add(30*24*time.Hour)) {
		t.Errorf("the API keys are %+v, %v", keys, err)
	}
	for path, kind := range map[string]api.EventKind{
		"/suspend": api.EventStatusChanged, "/end-all": api.EventSessionsReset,
	} {
		if response, text := v.send(person+path, url.Values{}); response.StatusCode != http.StatusSeeOther {
			t.Fatalf("%s, %s", response.Status, text)
		}
		events, err := admin.Audit(t.Context(), api.AuditRequest{Kind: kind, UserID: pawltest.UserID})
		if err != nil || len(events) != 1 || events[0].CallerID == nil || *events[0].CallerID != pawltest.AdminID ||
			events[0].Address != "127.0.0.1" {
			t.Errorf("%s: the events are %+v, %v", path, events, err)
		}
	}
}
