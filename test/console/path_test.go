package console_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// TestPathSetting moves the console to another path, and turns it off. The page of the settings shows the address of
// the database without its password.
func TestPathSetting(t *testing.T) {
	const password = "topsecret"
	cluster := pgtest.Start(t)
	dsn := strings.Replace(cluster.DSN(cluster.Database(t)), "//pawl@", "//pawl:"+password+"@", 1)
	env := []string{"PAWL_STORE=" + dsn, "PAWL_MASTER_KEY=" + seal.NewKey()}
	binary := testbin.Build(t)
	created := testbin.Init(t, binary, env)

	moved := testbin.StartServe(t, binary, env, "--console", "/admin/x")
	root := &visitor{tb: t, url: moved.URL}
	v := &visitor{tb: t, url: moved.URL + "/admin/x"}
	response := v.signIn(created.Login, created.Password, "/admin/x/people?q=a")
	if set := response.Header.Get("Set-Cookie"); !strings.Contains(set+";", "; Path=/admin/x;") ||
		response.Header.Get("Location") != "/admin/x/people?q=a" {
		t.Errorf("the sign-in sets %q and leads to %q", set, response.Header.Get("Location"))
	}
	for _, path := range []string{"", "/people", "/sessions", "/audit", "/signing-keys", "/settings"} {
		response, text := v.send(path, nil)
		if response.StatusCode != http.StatusOK || strings.Contains(text, `"/console`) ||
			!strings.Contains(text, `href="/admin/x/console.css"`) {
			t.Errorf("the page %q has %s", path, response.Status)
		}
	}
	_, settings := v.send("/settings", nil)
	if !strings.Contains(settings, "pawl:xxxxx@") || strings.Contains(settings, password) {
		t.Errorf("the settings are %q", settings)
	}
	if response, _ := root.send("/console", nil); response.StatusCode != http.StatusNotFound {
		t.Errorf("at the default path is %s", response.Status)
	}
	root.leads("/admin/x")

	off := &visitor{tb: t, url: testbin.StartServe(t, binary, env, "--console", "off").URL}
	for _, path := range []string{"/console", "/console/sign-in", "/admin/x"} {
		if response, _ := off.send(path, nil); response.StatusCode != http.StatusNotFound {
			t.Errorf("without a console, %s has %s", path, response.Status)
		}
	}
	off.leads("/docs")
}

// leads checks where the first page of the server leads a browser.
func (v *visitor) leads(want string) {
	v.tb.Helper()
	response, _ := v.send("/", nil, "Accept", "text/html")
	if to := response.Header.Get("Location"); response.StatusCode != http.StatusFound || to != want {
		v.tb.Errorf("/ has %s and leads to %q, want %s", response.Status, to, want)
	}
}
