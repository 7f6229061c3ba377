package sdk_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/pawltest"
)

var tabsFor = flag.Duration("tabs-for", 15*time.Second, "how long the tabs of TestTabs share a session")

// browser starts a browser and returns its context.
func browser(t *testing.T) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is missing; run \"make deps\"")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	ctx, cancel := context.WithTimeout(ctx, *tabsFor+3*time.Minute)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil { // starts it, so that all tabs are of one browser
		t.Fatal(err)
	}
	return ctx
}

// tab is a page of the site in a tab of the browser.
type tab struct {
	*testing.T
	ctx context.Context
}

// open opens the site in a new tab, with an address for Pawl. The script, if any, runs before the page's own.
func (s *site) open(t *testing.T, browser context.Context, pawl, script string) tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	err := chromedp.Listen(ctx, func(event any) {
		if e, ok := event.(*runtime.EventExceptionThrown); ok {
			t.Errorf("exception in the page's script: %v", e.ExceptionDetails)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	address := s.URL + "/?pawl=" + url.QueryEscape(pawl)
	opened := tab{t, ctx}
	if script != "" {
		params := page.AddScriptToEvaluateOnNewDocumentParams{Source: script}
		if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, params); err != nil {
			t.Fatal(err)
		}
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
	opened.until("window.ready === true")
	return opened
}

// eval evaluates an expression, and waits if it is a promise.
func eval[T any](t tab, expression string) T {
	t.Helper()
	value, err := chromedp.Run(t.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// until waits until an expression is true.
func (t tab) until(expression string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !eval[bool](t, "!!("+expression+")"); {
		if time.Now().After(deadline) {
			t.Fatalf("%s stays false", expression)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// signIn signs in with the server's user.
func (t tab) signIn() {
	t.Helper()
	script := fmt.Sprintf("session.login(%q, %q).then(() => true)", pawltest.Login, pawltest.Password)
	eval[bool](t, script)
}

// start starts a Pawl that lets the site call it.
func start(t *testing.T, s *site, change func(*authority.Policy)) *pawltest.Server {
	t.Helper()
	return pawltest.New(t, realTime, pawltest.WithConfig(func(c *app.Config) {
		c.AllowedOrigins = []string{s.URL}
		change(&c.Policy)
	}))
}

// TestTabs lets five tabs and a render on the server share a session whose tokens live for 3 seconds, over a network
// that loses a third of the responses and delays another third. No tab may be signed out, and no refresh may be taken
// for theft.
func TestTabs(t *testing.T) {
	s := newSite(t)
	browser := browser(t)
	pawl := start(t, s, func(p *authority.Policy) {
		p.TokenLife = 3 * time.Second
		p.IdleLife = time.Minute
		p.ReplayWithoutKey = 10 * time.Second
	})
	render := http.HandlerFunc(renderer(pawl.URL))
	s.handle.Store(&render)
	network := newUnreliable(t, pawl.URL)
	var tabs []tab
	for range 5 {
		tabs = append(tabs, s.open(t, browser, network.URL, ""))
	}
	tabs[0].signIn()
	network.bad.Store(true)
	for i, tab := range tabs {
		tab.until("session.signedIn")
		if i == 4 {
			eval[bool](tab, "render(), true")
		}
		eval[bool](tab, "work(), true")
	}
	select {
	case <-time.After(*tabsFor):
	case <-t.Context().Done():
	}
	for i, tab := range tabs {
		wrong := eval[[]string](tab, "wrong.map(String)")
		good, lost := eval[int](tab, "good"), eval[int](tab, "lost")
		if len(wrong) > 0 || eval[int](tab, "ended") > 0 || !eval[bool](tab, "session.signedIn") || good < 10 {
			t.Errorf("tab %d: %d calls succeeded, %d were lost, wrong: %v", i, good, lost, wrong)
		}
	}
	if t.Failed() {
		logEvents(t, pawl)
	}
	admin := pawl.Client().With(client.WithAPIKey(pawl.AdminAPIKey))
	events, err := admin.Audit(t.Context(), api.AuditRequest{Kind: api.EventTheft})
	if err != nil || len(events) > 0 {
		t.Errorf("thefts: %v, %v", events, err)
	}
}

// TestSignedOutEverywhere checks that a logout, and a cleared storage, end the session in every tab.
func TestSignedOutEverywhere(t *testing.T) {
	s := newSite(t)
	browser := browser(t)
	pawl := start(t, s, func(*authority.Policy) {})
	one, two := s.open(t, browser, pawl.URL, ""), s.open(t, browser, pawl.URL, "")
	one.signIn()
	two.until("began === 1 && session.signedIn")
	if status := eval[int](two, "call()"); status != 200 {
		t.Errorf("the second tab: %d", status)
	}
	eval[bool](two, "session.logout().then(() => true)")
	one.until("ended === 1 && !session.signedIn")
	one.signIn()
	two.until("began === 2 || session.signedIn")
	eval[bool](one, "localStorage.clear(), true")
	two.until("ended === 2 && !session.signedIn")
	if got := eval[string](one, "session.token().catch(e => e.errorCode)"); got != "SignedOut" {
		t.Errorf("the tab that cleared the storage: %s", got)
	}
}

// TestAsleep freezes a tab for longer than a token lives. It must keep its session when it wakes.
func TestAsleep(t *testing.T) {
	s := newSite(t)
	browser := browser(t)
	pawl := start(t, s, func(p *authority.Policy) {
		p.TokenLife = 2 * time.Second
		p.IdleLife = time.Hour
	})
	sleeper := s.open(t, browser, pawl.URL, "")
	sleeper.signIn()
	before := eval[string](sleeper, "session.token()")
	freeze := func(state page.SetWebLifecycleStateState) {
		t.Helper()
		params := page.SetWebLifecycleStateParams{State: state}
		if _, err := chromedp.Call(sleeper.ctx, page.SetWebLifecycleState, params); err != nil {
			t.Fatal(err)
		}
	}
	freeze(page.SetWebLifecycleStateStateFrozen)
	for valid := true; valid; time.Sleep(50 * time.Millisecond) {
		_, err := pawl.Client().With(client.WithBearer(before)).Session(t.Context())
		valid = err == nil
	}
	freeze(page.SetWebLifecycleStateStateActive)
	if status := eval[int](sleeper, "call()"); status != 200 {
		t.Errorf("after the sleep: %d", status)
	}
	if eval[int](sleeper, "ended") != 0 || eval[string](sleeper, "session.token()") == before {
		t.Error("the tab lost its session")
	}
}

// TestWrongClock opens pages whose clock is wrong by two hours, with tokens that live for 1 hour.
func TestWrongClock(t *testing.T) {
	s := newSite(t)
	browser := browser(t)
	pawl := start(t, s, func(*authority.Policy) {})
	for _, hours := range []int{2, -2} {
		script := fmt.Sprintf("{ const now = Date.now; Date.now = () => now() + %d * 3600000; }", hours)
		wrong := s.open(t, browser, pawl.URL, script)
		wrong.signIn()
		first := eval[string](wrong, "session.token()")
		for range 3 {
			if status := eval[int](wrong, "call()"); status != 200 {
				t.Errorf("%d h: %d", hours, status)
			}
		}
		if eval[string](wrong, "session.token()") != first {
			t.Errorf("%d h: a token of an hour was refreshed at once", hours)
		}
		eval[bool](wrong, "session.logout().then(() => true)")
		eval[bool](wrong, "session.close(), true") // the next page has another clock, and shares the state
	}
}

// logEvents logs the server's last events, which name the reason of each rejected refresh.
func logEvents(t *testing.T, pawl *pawltest.Server) {
	t.Helper()
	admin := pawl.Client().With(client.WithAPIKey(pawl.AdminAPIKey))
	events, err := admin.Audit(t.Context(), api.AuditRequest{RecordsPerPage: 500})
	if err != nil {
		t.Error(err)
	}
	for _, e := range events {
		t.Logf("%s %s: %s", e.Time, e.Kind, e.Detail)
	}
}
