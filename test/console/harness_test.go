// Package console_test uses the admin console in a real browser, and checks each effect through the API.
package console_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/console"
	"github.com/pawlauth/pawl/pawltest"
)

// chromium is the context of the one browser of all tests, or nil if the machine has no Chromium. Each test has its own
// cookies in it.
var chromium context.Context

func TestMain(m *testing.M) {
	os.Exit(func() int {
		path, err := exec.LookPath("chromium")
		if err != nil {
			return m.Run()
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
		ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
		defer stop()
		ctx, end := chromedp.NewContext(ctx)
		defer end()
		if err := chromedp.Do(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		chromium = ctx
		return m.Run()
	}())
}

// newPawl starts a server with the console.
func newPawl(t *testing.T, options ...pawltest.Option) *pawltest.Server {
	t.Helper()
	on := pawltest.WithConfig(func(c *app.Config) { c.Console = console.DefaultPath })
	return pawltest.New(t, append([]pawltest.Option{on}, options...)...)
}

// tab is a tab of a browser with its own cookies.
type tab struct {
	*testing.T
	ctx context.Context
	url string // of the console
}

// newTab opens a tab. An exception, a message of the console of the browser, a violation of the policy of a page, and a
// request to another origin fail the test.
func newTab(t *testing.T, pawl *pawltest.Server) tab {
	t.Helper()
	if chromium == nil {
		t.Skip("chromium is missing; run \"make deps\"")
	}
	check := func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("exception in the script: %v", e.ExceptionDetails)
		case *runtime.EventConsoleAPICalled:
			t.Errorf("message in the console of the browser: %v", e.Args)
		case *log.EventEntryAdded:
			// A network entry is the status of an expected error, and a verbose one is a hint. A test may focus a field
			// before the browser does.
			isHint := e.Entry.Level == log.EntryLevelVerbose || strings.HasPrefix(e.Entry.Text, "Autofocus processing")
			if e.Entry.Source != log.EntrySourceNetwork && !isHint {
				t.Errorf("entry in the log of the browser: %s", e.Entry.Text)
			}
		case *network.EventRequestWillBeSent:
			local := strings.HasPrefix(e.Request.URL, pawl.URL+"/") ||
				strings.HasPrefix(e.Request.URL, "about:") || strings.HasPrefix(e.Request.URL, "data:")
			if !local { // the browser's own icons have data: addresses
				t.Errorf("request to another origin: %s", e.Request.URL)
			}
		}
	}
	ctx, end := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext(), chromedp.WithListener(check))
	t.Cleanup(end)
	if err := chromedp.Do(ctx); err != nil { // opens it, so that the end of a step does not close it
		t.Fatal(err)
	}
	b := tab{T: t, ctx: ctx, url: pawl.URL + console.DefaultPath}
	b.do(chromedp.EmulateViewport(1280, 900))
	return b
}

// step returns a context for one step of a test. A step may take a minute, because the machine may be busy. The whole
// test has no limit of its own.
func (b tab) step() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, time.Minute)
}

func (b tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	ctx, cancel := b.step()
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.Fatalf("%v at %s", err, b.at())
	}
}

// open opens a page of the console.
func (b tab) open(path string) {
	b.Helper()
	b.do(chromedp.Navigate(b.url + path))
}

// signIn signs in, and waits for the first page.
func (b tab) signIn(login, password string) {
	b.Helper()
	b.open("")
	b.fill("login", login)
	b.fill("password", password)
	b.do(chromedp.Click("form .main"))
	b.until(`!!document.querySelector("#bar")`)
}

// asAdmin opens a tab in which the administrator is signed in.
func asAdmin(t *testing.T, pawl *pawltest.Server) tab {
	t.Helper()
	b := newTab(t, pawl)
	b.signIn(pawltest.AdminLogin, pawltest.AdminPassword)
	return b
}

// fill types into the field with a name.
func (b tab) fill(name, text string) {
	b.Helper()
	b.do(chromedp.SendKeys(fmt.Sprintf("[name=%s]", name), text))
}

// click clicks on an element, which leads to another page with the script and without it.
func (b tab) click(selector string) {
	b.Helper()
	b.do(chromedp.Click(selector))
}

// confirm clicks on a link that asks, and then on the button of the question. It returns the named effect.
func (b tab) confirm(selector string) (effect string) {
	b.Helper()
	b.click(selector)
	b.until(`!!document.querySelector("dialog[open] form.ask, main form.ask")`)
	effect = b.text("form.ask p")
	b.click("form.ask .main")
	b.until(`!document.querySelector("form.ask") && document.readyState === "complete"`)
	return effect
}

func (b tab) text(selector string) string {
	b.Helper()
	return eval[string](b, fmt.Sprintf(`document.querySelector(%q)?.innerText ?? "(none)"`, selector))
}

// until waits until an expression is true. It asks from outside, because a page without its script has no timers.
func (b tab) until(expression string) {
	b.Helper()
	ctx, cancel := b.step()
	defer cancel()
	for ctx.Err() == nil {
		// An error means that the page is being replaced by the next one.
		if ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression)); err == nil && ok {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	b.Fatalf("never true: %s at %s: %v", expression, b.at(), ctx.Err())
}

// at returns the path of the page.
func (b tab) at() string {
	ctx, cancel := b.step()
	defer cancel()
	at, err := chromedp.Run(ctx, chromedp.Location())
	if err != nil {
		return err.Error()
	}
	u, err := url.Parse(at)
	if err != nil {
		return err.Error()
	}
	return u.Path
}

func eval[T any](b tab, expression string) T {
	b.Helper()
	ctx, cancel := b.step()
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return value
}

// startOn starts a server with the console on a folder.
func startOn(tb testing.TB, dir string, options ...pawltest.Option) *pawltest.Server {
	tb.Helper()
	on := pawltest.WithConfig(func(c *app.Config) { c.Console = console.DefaultPath })
	pawl := pawltest.Start(dir, append(options, on)...)
	tb.Cleanup(pawl.Close)
	return pawl
}

// await waits until a condition is true.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for began := time.Now(); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("after a minute: %s", what)
		}
	}
}

// liveSessions returns a page of the live sessions, by the API.
func liveSessions(t *testing.T, pawl *pawltest.Server, request api.SessionsRequest) []api.Session {
	t.Helper()
	sessions, err := adminOf(pawl).Sessions(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return sessions
}

// ofPerson selects the live sessions of the person of pawltest.
var ofPerson = api.SessionsRequest{UserID: new(int64(pawltest.UserID))}

// adminOf returns a client with the administrator's API key.
func adminOf(pawl *pawltest.Server) *client.Client {
	return pawl.Client(client.WithAPIKey(pawl.AdminAPIKey))
}
