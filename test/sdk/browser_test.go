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

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/server"
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
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox,
		chromedp.Flag("ignore-certificate-errors", true))
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
	address := s.URL + "/?pawl=" + url.QueryEscape(pawl)
	if s.cookie {
		address += "&mode=cookie"
	}
	opened := openTab(t, browser, address, script)
	opened.until("window.ready === true")
	return opened
}

// openTab opens a page in a new tab. An exception in the page fails the test.
func openTab(t *testing.T, browser context.Context, address, script string) tab {
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
	if script != "" {
		params := page.AddScriptToEvaluateOnNewDocumentParams{Source: script}
		if _, err := chromedp.Call(ctx, page.AddScriptToEvaluateOnNewDocument, params); err != nil {
			t.Fatal(err)
		}
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(address)); err != nil {
		t.Fatal(err)
	}
	return tab{t, ctx}
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

// state returns the state of the session that the tabs share. Each refresh changes it.
func (t tab) state() string {
	t.Helper()
	return eval[string](t, `localStorage.getItem("pawl")`)
}

// start starts a Pawl that lets the site call it, and the network in front of it.
func start(t *testing.T, s *site, change func(*authority.Policy)) (*pawltest.Server, *unreliable) {
	t.Helper()
	pawl := pawltest.New(t, realTime, pawltest.WithConfig(func(c *app.Config) {
		c.AllowedOrigins = []string{s.URL}
		if s.cookie {
			c.Cookie = server.CookieStrict
		}
		change(&c.Policy)
	}))
	return pawl, newUnreliable(t, s.cookie, pawl.URL)
}

// TestTabs lets five tabs and a render on the server share a session whose tokens live for 3 seconds, over a network
// that loses a third of the responses and delays another third. No tab may be signed out, and no refresh may be taken
// for theft.
func TestTabs(t *testing.T) { modes(t, testTabs) }

func testTabs(t *testing.T, s *site) {
	browser := browser(t)
	pawl, network := start(t, s, func(p *authority.Policy) {
		p.TokenLife = 3 * time.Second
		p.IdleLife = time.Minute
		p.ReplayWithoutKey = 10 * time.Second
	})
	render := http.HandlerFunc(renderer(pawl.URL))
	s.handle.Store(&render)
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
	patience := time.Now().Add(time.Minute) // a busy machine makes few calls in the time of the test
	for i, tab := range tabs {
		for eval[bool](tab, "good < 10 && ended + wrong.length === 0") && time.Now().Before(patience) {
			time.Sleep(100 * time.Millisecond)
		}
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

// TestSignedOutEverywhere checks that a logout, a cleared storage, and a lost cookie end the session in every tab.
func TestSignedOutEverywhere(t *testing.T) { modes(t, testSignedOutEverywhere) }

func testSignedOutEverywhere(t *testing.T, s *site) {
	browser := browser(t)
	_, proxy := start(t, s, func(*authority.Policy) {})
	one, two := s.open(t, browser, proxy.URL, ""), s.open(t, browser, proxy.URL, "")
	one.signIn()
	two.until("began === 1 && session.signedIn")
	if status := eval[int](two, "call()"); status != 200 {
		t.Errorf("the second tab: %d", status)
	}
	began := eval[float64](two, "(async () => { const at = Date.now(); await session.logout(); return at })()")
	one.until("ended === 1 && !session.signedIn")
	t.Logf("the first tab was signed out %v ms after the logout began", eval[float64](one, "endedAt")-began)
	if status := eval[int](one, "bare()"); status != 401 {
		t.Errorf("a call by the signed-out browser: %d", status)
	}
	one.signIn()
	two.until("began === 2 && session.signedIn")
	eval[bool](one, "localStorage.clear(), true")
	two.until("ended === 2 && !session.signedIn")
	if got := eval[string](one, "session.token().catch(e => e.errorCode)"); got != "SignedOut" {
		t.Errorf("the tab that cleared the storage: %s", got)
	}
	if resumed := eval[bool](one, "session.resume()"); resumed != s.cookie { // the cookie is left
		t.Errorf("the session was resumed: %t", resumed)
	}
	if s.cookie {
		two.until("began === 3 && session.signedIn")
		if status := eval[int](two, "call()"); status != 200 {
			t.Errorf("after the resumption: %d", status)
		}
		eval[bool](two, "localStorage.clear(), true")
	}
	eval[bool](one, "session.logout().then(() => true)") // removes the cookie, which scripts cannot clear
	if eval[bool](one, "session.resume()") {
		t.Error("a session was resumed after the logout")
	}
	if status := eval[int](one, "bare()"); status != 401 {
		t.Errorf("a call by the browser after the second logout: %d", status)
	}
	if !s.cookie {
		return
	}
	one.signIn()
	two.until("began === 4 && session.signedIn")
	if _, err := chromedp.Call(one.ctx, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	if got := eval[string](two, "call().catch(e => e.errorCode)"); got != "SignedOut" {
		t.Errorf("a call without the cookie: %s", got)
	}
	one.until("ended === 4 && !session.signedIn")
	two.until("ended === 4 && !session.signedIn")
}

// TestAsleep freezes a tab for longer than a token lives. It must keep its session when it wakes.
func TestAsleep(t *testing.T) { modes(t, testAsleep) }

func testAsleep(t *testing.T, s *site) {
	browser := browser(t)
	pawl, network := start(t, s, func(p *authority.Policy) {
		p.TokenLife = 2 * time.Second
		p.IdleLife = time.Hour
	})
	sleeper := s.open(t, browser, network.URL, "")
	sleeper.signIn()
	freeze := func(state page.SetWebLifecycleStateState) {
		t.Helper()
		params := page.SetWebLifecycleStateParams{State: state}
		if _, err := chromedp.Call(sleeper.ctx, page.SetWebLifecycleState, params); err != nil {
			t.Fatal(err)
		}
	}
	before := sleeper.state()
	freeze(page.SetWebLifecycleStateStateFrozen)
	admin := pawl.Client(client.WithAPIKey(pawl.AdminAPIKey))
	for valid := true; valid; time.Sleep(50 * time.Millisecond) {
		sessions, err := admin.Sessions(t.Context(), api.SessionsRequest{UserID: new(int64(pawltest.UserID))})
		if err != nil || len(sessions) != 1 {
			t.Fatalf("%+v, %v", sessions, err)
		}
		valid = time.Now().Before(sessions[0].ExpiresAt.Time)
	}
	freeze(page.SetWebLifecycleStateStateActive)
	if status := eval[int](sleeper, "call()"); status != 200 {
		t.Errorf("after the sleep: %d", status)
	}
	if eval[int](sleeper, "ended") != 0 || sleeper.state() == before {
		t.Error("the tab lost its session")
	}
}

// clockScript sets the clock of a page wrong by some hours.
const clockScript = "{ const now = Date.now; Date.now = () => now() + %d * 3600000; }"

// TestWrongClock opens pages whose clock is wrong by two hours, with tokens that live for 1 hour.
func TestWrongClock(t *testing.T) { modes(t, testWrongClock) }

func testWrongClock(t *testing.T, s *site) {
	browser := browser(t)
	_, network := start(t, s, func(*authority.Policy) {})
	for _, hours := range []int{2, -2} {
		wrong := s.open(t, browser, network.URL, fmt.Sprintf(clockScript, hours))
		wrong.signIn()
		first := wrong.state()
		for range 3 {
			if status := eval[int](wrong, "call()"); status != 200 {
				t.Errorf("%d h: %d", hours, status)
			}
		}
		if wrong.state() != first {
			t.Errorf("%d h: a token of an hour was refreshed at once", hours)
		}
		eval[bool](wrong, "session.logout().then(() => true)")
		eval[bool](wrong, "session.close(), true") // the next page has another clock, and shares the state
	}
}

// TestTwoClocks lets two tabs with different clocks share a session, as after a change of the machine's clock. The tab
// that is ahead may take the token of the other one for old, and refresh it once. Then both must be content with it.
func TestTwoClocks(t *testing.T) { modes(t, testTwoClocks) }

func testTwoClocks(t *testing.T, s *site) {
	browser := browser(t)
	_, network := start(t, s, func(*authority.Policy) {})
	ahead := s.open(t, browser, network.URL, fmt.Sprintf(clockScript, 2))
	behind := s.open(t, browser, network.URL, fmt.Sprintf(clockScript, -2))
	// The tab that is ahead may refresh the token as soon as the other one has stored it.
	login := fmt.Sprintf("session.login(%q, %q)", pawltest.Login, pawltest.Password)
	first := eval[string](behind, login+`.then(() => localStorage.getItem("pawl"))`)
	ahead.until(fmt.Sprintf(`localStorage.getItem("pawl") !== %q`, first))
	behind.until(fmt.Sprintf(`localStorage.getItem("pawl") !== %q`, first))
	second := ahead.state()
	for range 3 {
		for name, tab := range map[string]tab{"ahead": ahead, "behind": behind} {
			if status := eval[int](tab, "call()"); status != 200 {
				t.Errorf("the tab that is %s: %d", name, status)
			}
		}
	}
	if ahead.state() != second || behind.state() != second {
		t.Error("the tabs refresh a token of an hour again and again")
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
