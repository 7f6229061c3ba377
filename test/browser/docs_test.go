// Package browser_test opens the server's pages in a real browser, because only a browser shows that scripts work under
// the pages' content security policy.
package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/pawltest"
)

// browser starts a browser and returns its context. An exception in a script, or a violation of a page's content
// security policy, fails the test.
func browser(t *testing.T) context.Context { return browserFor(t, time.Minute) }

// browserFor is browser with another limit for the whole test.
func browserFor(t *testing.T, limit time.Duration) context.Context {
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is missing; run \"make deps\"")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	ctx, cancel := context.WithTimeout(ctx, limit)
	t.Cleanup(cancel)
	err = chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("exception in the page's script: %v", e.ExceptionDetails)
		case *log.EventEntryAdded:
			if e.Entry.Source == log.EntrySourceSecurity {
				t.Errorf("the page violates its policy: %s", e.Entry.Text)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

// TestDocs sends calls from /docs. After the sign-in, the page must send the token with the next calls.
func TestDocs(t *testing.T) {
	server := pawltest.New(t, pawltest.WithHandler(apicheck.Handler(t)))
	ctx := browser(t)
	openDocs(ctx, t, server.URL+"/docs")
	if calls, want := count(ctx, t, "main .call"), len(operations(t)); calls != want {
		t.Errorf("the page shows %d calls, want %d", calls, want)
	}
	for _, call := range []struct{ id, answer string }{
		{"session", "InvalidSession"},
		{"login", `"userId": 4821`}, // the example in openapi.yaml has the server's user
		{"session", "jsmith@example.com"},
		{"refresh", `"userId": 4821`},
		{"refresh", `"userId": 4821`},      // with the new token
		{"getUser", `"firstName": "John"`}, // an id in the path
		{"logout", "Session terminated."},
		{"session", "InvalidSession"},
	} {
		if got := send(ctx, t, call.id); !strings.Contains(got, call.answer) {
			t.Errorf("%s: %s, want %s", call.id, got, call.answer)
		}
	}
}

// openDocs opens the API page.
func openDocs(ctx context.Context, t *testing.T, url string) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Navigate(url), chromedp.WaitReady("html.js details#ready")); err != nil {
		t.Fatal(err)
	}
}

// evaluate returns the value of an expression in the page.
func evaluate[T any](ctx context.Context, t *testing.T, expression string) T {
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// count returns the number of visible elements.
func count(ctx context.Context, t *testing.T, selector string) int {
	t.Helper()
	const visible = `[...document.querySelectorAll(%q)].filter((e) => e.checkVisibility()).length`
	return evaluate[int](ctx, t, fmt.Sprintf(visible, selector))
}

// TestDocsSearch types into the search, and follows the link of a call that the search hides.
func TestDocsSearch(t *testing.T) {
	server := pawltest.New(t)
	ctx := browser(t)
	openDocs(ctx, t, server.URL+"/docs")
	all := count(ctx, t, "main .call")
	if err := chromedp.Do(ctx, chromedp.KeyEvent("/")); err != nil {
		t.Fatal(err)
	}
	if focused := evaluate[string](ctx, t, `document.activeElement.id`); focused != "page-search" {
		t.Errorf("the key / focuses %q", focused)
	}
	evaluate[chromedp.Void](ctx, t, `document.activeElement.value = ""`) // the simulated key types a character, too
	if err := chromedp.Do(ctx, chromedp.SendKeys("#page-search", "Idempotency")); err != nil {
		t.Fatal(err)
	}
	n := count(ctx, t, "main .call")
	if n == 0 || n > 5 || count(ctx, t, "#refresh") != 1 || count(ctx, t, "#logout") != 0 {
		t.Errorf("the search shows %d of %d calls", n, all)
	}
	found := evaluate[string](ctx, t, `document.getElementById("page-found").textContent`)
	if want := fmt.Sprintf("%d calls", count(ctx, t, "main .call")); found != want {
		t.Errorf("the page shows %q, want %q", found, want)
	}
	openDocs(ctx, t, server.URL+"/docs#listKeys")
	if !evaluate[bool](ctx, t, `document.getElementById("listKeys").open`) {
		t.Error("the link of a call does not open it")
	}
	evaluate[chromedp.Void](ctx, t, `document.querySelector(".link[href='#audit']").click()`)
	err := chromedp.Do(ctx, chromedp.Poll[chromedp.Void](`document.getElementById("audit").open`))
	if err != nil {
		t.Fatal(err)
	}
}

// TestDocsCurl runs the commands of "Copy as curl" in a shell. They must have the effect of the page, and no
// credential.
func TestDocsCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is missing; run \"make deps\"")
	}
	server := pawltest.New(t, pawltest.WithHandler(apicheck.Handler(t)))
	ctx := browser(t)
	openDocs(ctx, t, server.URL+"/docs")
	evaluate[chromedp.Void](ctx, t, `document.getElementById("page-key").value = "`+server.APIKey+`"`)
	evaluate[chromedp.Void](ctx, t,
		`document.querySelector("#updateUser textarea").value = `+
			`JSON.stringify({ userId: 4821, lastName: "O'Brien $x" })`)
	for id, want := range map[string]string{
		"login": `"userId":4821`, "updateUser": `O'Brien $x`, "introspect": `"active":false`,
		"getUser": `"userId":4821`,
	} {
		command := evaluate[string](ctx, t, `curlOf(document.querySelector("#`+id+` form"))`)
		if strings.Contains(command, server.APIKey) {
			t.Errorf("%s: the command has the API key", id)
		}
		shell := exec.CommandContext(t.Context(), "sh", "-c", command+" -sS")
		shell.Env = append(os.Environ(), "PAWL_API_KEY="+server.APIKey)
		output, err := shell.CombinedOutput()
		if err != nil || !strings.Contains(string(output), want) {
			t.Errorf("%s\nprinted %s, %v, want %s", command, output, err, want)
		}
	}
	err := chromedp.Do(ctx,
		chromedp.Evaluate[chromedp.Void](`document.getElementById("version").open = true`),
		chromedp.Click("#version .copy"),
		chromedp.Poll[chromedp.Void](`document.querySelector("#version .copied").textContent.startsWith("Cop")`))
	if err != nil {
		t.Fatal(err)
	}
}

// TestDocsFits opens every part of the page on each screen. Nothing may be wider than the screen, and the bar stays at
// the top only where it leaves room.
func TestDocsFits(t *testing.T) {
	server := pawltest.New(t)
	ctx := browser(t)
	for _, screen := range []struct {
		width, height int64
		position      string // of the bar
		navigation    int
	}{
		{320, 640, "sticky", 0}, {640, 320, "static", 0}, {768, 1024, "sticky", 0}, {1280, 800, "sticky", 1},
	} {
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(screen.width, screen.height)); err != nil {
			t.Fatal(err)
		}
		openDocs(ctx, t, server.URL+"/docs")
		evaluate[chromedp.Void](ctx, t, `for (const d of document.querySelectorAll("main details")) d.open = true`)
		if wide := evaluate[int64](ctx, t, `document.documentElement.scrollWidth`); wide > screen.width {
			t.Errorf("on a screen of %d the page is %d wide", screen.width, wide)
		}
		position := evaluate[string](ctx, t, `getComputedStyle(document.getElementById("page-bar")).position`)
		if position != screen.position || count(ctx, t, "nav") != screen.navigation {
			t.Errorf("%d×%d: the bar is %s, the navigation is wrong", screen.width, screen.height, position)
		}
		height := evaluate[float64](ctx, t, `document.getElementById("page-bar").offsetHeight / innerHeight`)
		if position == "sticky" && height > 0.1 {
			t.Errorf("%d×%d: the bar takes %.2f of the screen", screen.width, screen.height, height)
		}
	}
}

// TestDocsBelowPrefix opens the page through a gateway that serves Pawl below a path, and follows the link of a page
// that does not exist.
func TestDocsBelowPrefix(t *testing.T) {
	for name, strip := range map[string]string{"a gateway that removes the path": "/auth", "one that keeps it": ""} {
		t.Run(name, func(t *testing.T) {
			var pawl *pawltest.Server
			gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				target, err := url.Parse(pawl.URL)
				if err != nil {
					t.Error(err)
				}
				http.StripPrefix(strip, httputil.NewSingleHostReverseProxy(target)).ServeHTTP(w, r)
			}))
			defer gateway.Close()
			pawl = pawltest.New(t, pawltest.WithConfig(func(c *app.Config) { c.PublicURL = gateway.URL + "/auth" }))
			ctx := browser(t)
			err := chromedp.Do(ctx, chromedp.Navigate(gateway.URL+"/auth/no/page"), chromedp.Click("main a"),
				chromedp.WaitReady("html.js details#ready"))
			if err != nil {
				t.Fatal(err)
			}
			if at := evaluate[string](ctx, t, "location.href"); at != gateway.URL+"/auth/docs" {
				t.Errorf("the link leads to %s", at)
			}
			if got := send(ctx, t, "login"); !strings.Contains(got, `"userId": 4821`) {
				t.Errorf("login: %s", got)
			}
			bar := evaluate[string](ctx, t, `getComputedStyle(document.getElementById("page-bar")).display`)
			if bar != "flex" {
				t.Error("the page has no style")
			}
		})
	}
}

// send sends a call from the page, and returns the displayed response.
func send(ctx context.Context, t *testing.T, id string) string {
	t.Helper()
	output := "#" + id + " form .output"
	err := chromedp.Do(ctx,
		chromedp.Evaluate[chromedp.Void](`document.getElementById("`+id+`").open = true`),
		chromedp.Evaluate[chromedp.Void](`document.querySelector("`+output+`").textContent = ""`),
		chromedp.Click("#"+id+" form button:not([type])"),
		chromedp.Poll[chromedp.Void](`document.querySelector("`+output+`").textContent.includes("X-Request-Id")`))
	if err != nil {
		t.Fatal(err)
	}
	shown, err := chromedp.Run(ctx, chromedp.TextContent(output))
	if err != nil {
		t.Fatal(err)
	}
	return shown
}

// operations returns the ids of all operations in openapi.yaml.
func operations(t *testing.T) (ids []string) {
	for _, item := range apicheck.Model(t).Paths.PathItems.FromOldest() {
		for operation := range item.GetOperations().ValuesFromOldest() {
			ids = append(ids, operation.OperationId)
		}
	}
	return ids
}
