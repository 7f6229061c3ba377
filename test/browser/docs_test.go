// Package browser_test opens the server's pages in a real browser, because only a browser shows that scripts work under
// the pages' content security policy.
package browser_test

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/pawltest"
)

// browser starts a browser and returns its context. An exception in a script, or a violation of a page's content
// security policy, fails the test.
func browser(t *testing.T) context.Context {
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is missing; run \"make deps\"")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	ctx, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, end := chromedp.NewContext(ctx)
	t.Cleanup(end)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
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
	err := chromedp.Do(ctx, chromedp.Navigate(server.URL+"/docs"), chromedp.WaitReady("#getPrimaryKey"))
	if err != nil {
		t.Fatal(err)
	}
	calls, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.querySelectorAll("main > details").length`))
	if err != nil {
		t.Fatal(err)
	}
	if want := len(operations(t)); calls != want {
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

// send sends a call from the page, and returns the displayed response.
func send(ctx context.Context, t *testing.T, id string) string {
	t.Helper()
	output := "#" + id + " form pre"
	err := chromedp.Do(ctx,
		chromedp.Evaluate[chromedp.Void](`document.getElementById("`+id+`").open = true`),
		chromedp.Evaluate[chromedp.Void](`document.querySelector("`+output+`").textContent = ""`),
		chromedp.Click("#"+id+" form button"),
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
