// Package browser_test opens the pages of a server in a real browser.
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

// browser returns the context of a browser; what a page complains of fails the
// test: a script that its policy stops, say.
func browser(t *testing.T) context.Context {
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not installed: the page was not opened")
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
			t.Errorf("the page's script failed: %v", e.ExceptionDetails)
		case *log.EventEntryAdded:
			if e.Entry.Source == log.EntrySourceSecurity {
				t.Errorf("the page's policy stopped it: %s", e.Entry.Text)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

// TestDocs makes calls from the page: it signs in, and the token that it gets
// goes with the next call.
func TestDocs(t *testing.T) {
	server := pawltest.New(t, pawltest.WithHandler(apicheck.Handler(t)))
	ctx := browser(t)
	if err := chromedp.Do(ctx, chromedp.Navigate(server.URL+"/docs"), chromedp.WaitReady("#getPrimaryKey")); err != nil {
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
		{"login", `"userId": 4821`}, // its example is the user that the server has
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

// send opens a call of the page, sends it, and returns what is shown.
func send(ctx context.Context, t *testing.T, id string) string {
	t.Helper()
	output := "#" + id + " form pre"
	err := chromedp.Do(ctx,
		chromedp.Evaluate[chromedp.Void](`document.getElementById("`+id+`").open = true; document.querySelector("`+output+`").textContent = ""`),
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

func operations(t *testing.T) (ids []string) {
	for _, item := range apicheck.Model(t).Paths.PathItems.FromOldest() {
		for operation := range item.GetOperations().ValuesFromOldest() {
			ids = append(ids, operation.OperationId)
		}
	}
	return ids
}
