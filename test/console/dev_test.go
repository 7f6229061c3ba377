package console_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
	"github.com/pawlauth/pawl/pawltest"
)

// TestDevLink follows the link that pawl dev prints. It signs in as the administrator, once, on loopback only, and the
// overview is the first page. The settings page shows the command line.
func TestDevLink(t *testing.T) {
	dev := testbin.StartDev(t, testbin.Build(t), t.TempDir(), "--token-life", "20m")
	address, path, ok := strings.Cut(dev.Link, "/console")
	if !ok {
		t.Fatalf("the link is %q", dev.Link)
	}
	pawl := &pawltest.Server{URL: address}
	v := newVisitor(t, pawl)
	if response, _ := v.send(path, nil, "Host", "auth.example.com"); response.StatusCode != 404 {
		t.Errorf("on another host, the link has %s", response.Status)
	}
	if response, _ := v.send(path, nil, "X-Forwarded-For", "192.0.2.1"); response.StatusCode != 404 {
		t.Errorf("through a gateway, the link has %s", response.Status)
	}
	b := newTab(t, pawl)
	b.open(path)
	b.until(`!!document.querySelector(".charts svg")`)
	b.open("/settings")
	if shown := b.text("main"); !strings.Contains(shown, "token-life\t20m\tflag") {
		t.Errorf("the settings are %q", shown)
	}
	code, err := url.Parse(dev.Link)
	if err != nil {
		t.Fatal(err)
	}
	if response, text := v.send(path, nil); response.StatusCode != 401 || response.Header.Get("Set-Cookie") != "" {
		t.Errorf("the second time, the link has %s, %s", response.Status, text)
	}
	b.open("/audit")
	if shown := b.text("main"); strings.Contains(shown, code.Query().Get("code")) {
		t.Error("the audit has the code")
	}
}

// TestNewcomer starts pawl dev, signs in by the API with the file that it writes, follows the link, and ends that
// session in the browser. The tab ends after a minute, which must be enough.
func TestNewcomer(t *testing.T) {
	dev := testbin.StartDev(t, testbin.Build(t), t.TempDir())
	address, path, _ := strings.Cut(dev.Link, "/console")
	pawl := &pawltest.Server{URL: address}
	token, err := pawl.Client().Login(t.Context(), dev.Env["PAWL_LOGIN"], dev.Env["PAWL_PASSWORD"])
	if err != nil {
		t.Fatal(err)
	}
	session := pawl.Client(client.WithBearer(token.Token))
	b := newTab(t, pawl)
	b.open(path)
	b.click(`nav a[href$="/people"]`)
	b.until(`!!document.querySelector("[name=q]")`)
	b.fill("q", "jsm")
	b.until(`document.querySelectorAll("#found tbody tr").length === 1`)
	b.click("#found tbody a")
	b.until(`!!document.querySelector("#sessions-table")`)
	if !live(t, session) {
		t.Fatal("the session has ended before the click")
	}
	b.confirm("#sessions-table tbody a[data-ask]")
	if live(t, session) {
		t.Error("the session is live")
	}
}
