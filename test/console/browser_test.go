package console_test

import (
	"encoding/csv"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/test/npmtest"
	"github.com/pawlauth/pawl/pawltest"
)

// hostile has texts that would act in a page that does not escape them. Each is a valid login, name and device.
var hostile = []string{
	`<script>pwned=1</script>`, `"><img src=x onerror=pwned=1>`, `'onmouseover='pwned=1`,
	`</title><svg onload=pwned=1>`,
	`{{.Data}}`, `javascript:pwned=1`, `--><b>`, "`${pwned=1}`", `&lt;i&gt;`, `%3Cscript%3E`,
}

// TestHostileTexts puts hostile texts into every field that a client or an administrator chooses. No page may run them,
// and each must show them as they are.
func TestHostileTexts(t *testing.T) {
	pawl := newPawl(t)
	admin := adminOf(pawl)
	ids := make([]int64, len(hostile))
	for i, text := range hostile {
		created, err := admin.CreateUser(t.Context(), api.CreateUserRequest{
			Login: fmt.Sprintf("%d%s", i, strings.ReplaceAll(text, " ", "_")), FirstName: text, LastName: text,
			ExternalID: text,
		})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		ids[i] = created.UserID
		_, err = admin.OpenSession(t.Context(), api.OpenSessionRequest{
			UserID: created.UserID, Device: text, UserAgent: text, IP: "203.0.113.9",
		})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		_, err = admin.CreateAPIKey(t.Context(), api.CreateAPIKeyRequest{
			UserID: created.UserID, Visibility: api.VisibilityPrivate, Name: text,
		})
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	}
	b := asAdmin(t, pawl)
	check := func(path string) {
		t.Helper()
		b.open(path)
		const harmless = `typeof pwned === "undefined" && !document.querySelector("main script, main img")`
		if !eval[bool](b, harmless) {
			t.Errorf("%s runs a hostile text", path)
		}
	}
	for _, path := range []string{"/people", "/sessions", "/audit"} {
		check(path)
	}
	for i, text := range hostile {
		person := fmt.Sprintf("/people/%d", ids[i])
		check(person)
		if shown := b.text("main"); strings.Count(shown, text) < 3 {
			t.Errorf("the page of a person does not show %q", text)
		}
		check(person + "/edit")
		check(person + "/suspend")
	}
	all := url.QueryEscape(strings.Join(hostile, " "))
	for _, path := range []string{
		"/people?q=", "/sessions?device=", "/audit?user=", "/audit?session=", "/sign-in?next=", "/people?done=",
	} {
		check(path + all)
	}
}

// TestHostileExports exports events about people whose logins a spreadsheet would take for formulas.
func TestHostileExports(t *testing.T) {
	pawl := newPawl(t)
	logins := []string{`=1+1`, `+1`, `-1`, `@SUM(1)`, `"=1,2`, "x\n=1"}
	created := 0
	for _, login := range logins {
		if _, err := adminOf(pawl).CreateUser(t.Context(), api.CreateUserRequest{Login: login}); err == nil {
			created++ // the rules of a login forbid some of them
		}
	}
	v := adminVisitor(t, pawl)
	var rows [][]string
	await(t, "the events are missing", func() bool { // the audit is written after the answer
		_, text := v.send("/audit/csv?kind=userMade", nil)
		var err error
		if rows, err = csv.NewReader(strings.NewReader(text)).ReadAll(); err != nil {
			t.Fatal(err)
		}
		return len(rows) > created // with the row of the names
	})
	for _, cell := range slices.Concat(rows...) {
		if cell != "" && strings.Contains("=+-@", cell[:1]) {
			t.Errorf("the cell %q is a formula", cell)
		}
	}
	if created < 4 {
		t.Errorf("%d of %d people are created", created, len(logins))
	}
}

// TestFits opens each page at the width of a small phone and of a large screen. Nothing may be wider than the screen.
func TestFits(t *testing.T) {
	pawl := newPawl(t)
	seed(t, pawl, 10)
	_, err := adminOf(pawl).OpenSession(t.Context(), api.OpenSessionRequest{
		UserID: pawltest.UserID, IP: "2001:db8:1234:5678:9abc:def0:1234:5678", UserAgent: agents[0],
	})
	if err != nil {
		t.Fatal(err)
	}
	b := asAdmin(t, pawl)
	for _, width := range []int64{320, 740, 768, 1920, 3840} {
		b.do(chromedp.EmulateViewport(width, 900))
		for name, path := range pages() {
			b.open(path)
			if wide := eval[int64](b, `document.documentElement.scrollWidth`); wide > width {
				t.Errorf("%s is %d wide on a screen of %d", name, wide, width)
			}
		}
	}
}

// TestAccessibility checks each page with axe-core in both colour schemes: those of an administrator, the question of a
// dialog, a rejected form, a new API key, and the pages for which no sign-in is needed, with that of the API.
func TestAccessibility(t *testing.T) {
	check := axeCheck(t)
	pawl, empty := newPawl(t), new(pawltest.Server)
	empty.URL, _, _ = serveSetup(t, "sqlite:"+filepath.Join(t.TempDir(), "new"))
	seed(t, pawl, 5)
	person := fmt.Sprintf("/people/%d", pawltest.UserID)
	for _, scheme := range []string{"light", "dark"} {
		b := asAdmin(t, pawl)
		b.prefer(scheme)
		for name, path := range pages() {
			b.open(path)
			check(b, name+" "+scheme)
		}
		b.open(person)
		b.click("#end-all")
		b.until(`!!document.querySelector("dialog[open]")`)
		check(b, "dialog "+scheme)
		b.open(person + "/password")
		b.fill("password", "short")
		b.submit()
		check(b, "rejected form "+scheme)
		b.open(person + "/keys")
		b.submit()
		check(b, "new key "+scheme)

		guest, setup := newTab(t, pawl), newTab(t, empty)
		guest.prefer(scheme)
		setup.prefer(scheme)
		for _, path := range []string{"/sign-in", "/no-page"} {
			guest.open(path)
			check(guest, path+" "+scheme)
		}
		guest.do(chromedp.Navigate(pawl.URL + "/docs"))
		eval[bool](guest, `[...document.querySelectorAll("details")].slice(0, 5).map((d) => d.open = true)[0]`)
		check(guest, "docs "+scheme)
		setup.open("/setup")
		check(setup, "setup "+scheme)
	}
}

// axeCheck returns a function that checks a page with axe-core.
func axeCheck(t *testing.T) func(b tab, name string) {
	t.Helper()
	folder := npmtest.Folder(t, "npm")
	axe, err := os.ReadFile(filepath.Join(folder, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return func(b tab, name string) {
		t.Helper()
		// The evaluation is the debugger's, so the policy of the page does not concern it.
		eval[bool](b, string(axe)+"; true")
		found := eval[string](b, `axe.run().then((result) => result.violations.map(({ id, nodes }) =>
			id + ": " + nodes.map((node) => node.html + " " + node.failureSummary).join("\n")).join("\n"))`)
		if found != "" {
			t.Errorf("%s: %s", name, found)
		}
	}
}

// TestKeyboard ends a session with the keyboard alone. The link that cancels the dialog has the focus, so that the
// Enter that has opened the dialog does not end the session if it is held. Escape closes the dialog too, and the focus
// returns to the link that opened it.
func TestKeyboard(t *testing.T) {
	pawl := newPawl(t)
	session := signedIn(t, pawl)
	b := asAdmin(t, pawl)
	b.open(fmt.Sprintf("/people/%d", pawltest.UserID))
	escape, enter := chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent(kb.Enter)
	back := chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift))
	for _, answer := range [][]chromedp.Action[chromedp.Void]{{escape}, {enter}, {back, enter}} {
		eval[bool](b, `document.getElementById("end-all").focus() ?? true`)
		b.do(enter)
		b.until(`!!document.activeElement.closest("dialog .cancel")`)
		if !live(t, session) {
			t.Fatal("the session has ended before the answer")
		}
		b.do(answer...)
		b.until(`!document.querySelector("dialog") && document.readyState === "complete"`)
		if len(answer) == 1 && eval[string](b, `document.activeElement.id`) != "end-all" {
			t.Error("the focus is lost")
		}
	}
	b.until(`!!document.querySelector(".notice")`)
	if live(t, session) {
		t.Error("the session is live")
	}
}
