package console_test

import (
	"net/url"
	"strings"
	"testing"

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
