package console_test

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

// TestAllSessions lists the live sessions of all people, filters them by device, and ends a selection.
func TestAllSessions(t *testing.T) {
	pawl := newPawl(t)
	seed(t, pawl, 0)
	kept := signedIn(t, pawl)
	b := asAdmin(t, pawl)
	b.open("/sessions?device=phone")
	if rows := eval[int](b, `document.querySelectorAll("#sessions-table tbody tr").length`); rows != 1 {
		t.Errorf("%d sessions are on a phone, want 1", rows)
	}
	b.open("/sessions?address=203.0.113.")
	if rows := eval[int](b, `document.querySelectorAll("#sessions-table tbody tr").length`); rows != 4 {
		t.Errorf("%d sessions are from the network, want 4", rows)
	}
	b.click("[data-all]")
	if effect := b.confirm("button[data-ask]"); !strings.HasPrefix(effect, "Ends 4 sessions.") {
		t.Errorf("the question is %q", effect)
	}
	sessions, err := adminOf(pawl).Sessions(t.Context(), api.SessionsRequest{All: true})
	if err != nil || len(sessions) != 2 || !live(t, kept) { // the kept one, and that of the console
		t.Errorf("the sessions are %+v, %v", sessions, err)
	}
}

// atOnce calls a function for each number below n, 16 at a time, so that the store commits them together.
func atOnce(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error { return f(i) })
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// TestManySessions walks through the pages of more sessions than are sorted, at a filter too. Each session is on one
// page, for an administrator of all tenants, and for one of a network with many mailboxes.
func TestManySessions(t *testing.T) { onBothStores(t, testManySessions) }

func testManySessions(t *testing.T, pawl *pawltest.Server) {
	admin := adminOf(pawl)
	atOnce(t, 520, func(i int) error {
		login := fmt.Sprintf("p%d@example.com", i/4)
		_, err := admin.OpenSession(t.Context(), api.OpenSessionRequest{
			Login: login, User: &api.CreateUserRequest{Login: login, MailboxID: new(int64(200 - i/4))},
			Device: fmt.Sprintf("device %d", i/4%10),
		})
		return err
	})
	wanted := map[string]int{"": 521, "?device=device+3": 52}
	walk(asAdmin(t, pawl), wanted)
	network, _ := newAdmin(t, pawl, "network@example.com")
	walk(network, wanted)
}

// walk walks through the pages of the sessions at each query. Each wanted session must be on one page.
func walk(b tab, wanted map[string]int) {
	b.Helper()
	for query, want := range wanted {
		seen := map[string]bool{}
		n := 0
		b.open("/sessions" + query)
		for range 30 {
			for id := range strings.FieldsSeq(eval[string](b,
				`[...document.querySelectorAll("[name=s]")].map((box) => box.value).join(" ")`)) {
				seen[id] = true
				n++
			}
			if eval[bool](b, `!document.querySelector("[rel=next]")`) {
				break
			}
			eval[bool](b, `globalThis.stale = true`)
			b.click("[rel=next]")
			b.until(`!globalThis.stale && document.readyState === "complete"`)
		}
		if n != want || len(seen) != want {
			b.Errorf("%q: the pages have %d sessions, %d of them once, want %d", query, n, len(seen), want)
		}
	}
}

// TestAudit filters the events, follows them live, and exports them.
func TestAudit(t *testing.T) {
	pawl := newPawl(t)
	b := asAdmin(t, pawl)
	signedIn(t, pawl)
	b.open("/audit?kind=login&user=" + pawltest.Login)
	if rows := eval[int](b, `document.querySelectorAll("tbody tr").length`); rows != 1 {
		t.Errorf("%d events, want 1", rows)
	}
	b.click("#follow")
	b.until(`!!document.querySelector("[data-poll]")`)
	signedIn(t, pawl)
	b.until(`document.querySelectorAll("tbody tr").length === 2`)
	csv := eval[string](b, `fetch(document.querySelector("a[href*='/audit/csv']").href).then((r) => r.text())`)
	if strings.Count(csv, "\n") != 3 || strings.Count(csv, ","+pawltest.Login+",") != 2 {
		t.Errorf("the CSV is %q", csv)
	}
	lines := eval[string](b, `fetch(document.querySelector("a[href*='/audit/jsonl']").href).then((r) => r.text())
		.then((text) => text.trim().split("\n").map((line) => JSON.parse(line).kind).join(" "))`)
	if lines != "login login" {
		t.Errorf("the JSON lines are %q", lines)
	}
}

// TestAuditPages walks through the pages of the audit.
func TestAuditPages(t *testing.T) { onBothStores(t, testAuditPages) }

func testAuditPages(t *testing.T, pawl *pawltest.Server) {
	b := asAdmin(t, pawl)
	admin := adminOf(pawl)
	atOnce(t, 120, func(int) error {
		_, err := admin.OpenSession(t.Context(), api.OpenSessionRequest{UserID: pawltest.UserID})
		return err
	})
	b.open("/audit?kind=login")
	n := 0
	for range 5 {
		n += eval[int](b, `document.querySelectorAll("tbody tr").length`)
		if eval[bool](b, `!document.querySelector("[rel=next]")`) {
			break
		}
		eval[bool](b, `globalThis.stale = true`)
		b.click("[rel=next]")
		b.until(`!globalThis.stale && document.readyState === "complete"`)
	}
	if n != 121 {
		t.Errorf("the pages have %d sign-ins, want 121", n)
	}
}

// TestSigningKeys rotates the signing key, and retires the one that signed the tokens.
func TestSigningKeys(t *testing.T) {
	pawl := newPawl(t)
	session := signedIn(t, pawl)
	admin := adminOf(pawl)
	b := asAdmin(t, pawl)
	b.open("/signing-keys")
	b.confirm(`a[href$="/rotate"]`)
	keys, err := admin.SigningKeys(t.Context())
	if err != nil || len(keys) != 2 || !live(t, session) {
		t.Fatalf("after the rotation, the keys are %+v, %v", keys, err)
	}
	effect := b.confirm(fmt.Sprintf(`a[href$="/%s/retire"]`, keys[1].KeyID))
	if !strings.Contains(effect, "must sign in again") || live(t, session) {
		t.Errorf("the question is %q, and the session is live: %v", effect, live(t, session))
	}
	b.until(`!!document.querySelector("[name=login]")`) // the console's own token was one of them
	if _, err := pawl.Client(client.WithAPIKey(pawl.AdminAPIKey)).SigningKeys(t.Context()); err != nil {
		t.Error(err)
	}
}
