package sdk_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/test/npmtest"
	"github.com/pawlauth/pawl/pawltest"
)

// linkedFolder returns a new folder with a package that depends on the SDK, and with its dependencies.
func linkedFolder(t *testing.T, source string) string {
	t.Helper()
	dir := npmtest.Folder(t, source)
	modules := filepath.Join(dir, "node_modules")
	installed, err := os.Readlink(modules)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(installed)
	if err != nil {
		t.Fatal(err)
	}
	links := map[string]string{filepath.Join(modules, "@pawl", "client"): build(t)}
	for _, entry := range entries {
		if entry.Name() != "@pawl" {
			links[filepath.Join(modules, entry.Name())] = filepath.Join(installed, entry.Name())
		}
	}
	if err := os.Remove(modules); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(modules, "@pawl"), 0o700); err != nil {
		t.Fatal(err)
	}
	for link, target := range links {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestExample builds the app of examples/browser and drives it in Chromium, with a Pawl on another origin.
func TestExample(t *testing.T) {
	dir := linkedFolder(t, "../../examples/browser")
	browser := browser(t)
	s := &site{cookie: true}
	s.Server = serve(t, true, http.FileServer(http.Dir(filepath.Join(dir, "dist"))))
	pawl, network := start(t, s, func(*authority.Policy) {})
	run(t, dir, []string{"VITE_PAWL_URL=" + network.URL}, "npm", "run", "build")
	for _, mode := range []string{"token", "cookie"} {
		t.Run(mode, func(t *testing.T) {
			open := func() tab { return openTab(t, browser, s.URL+"/?mode="+mode, selectors) }
			useExample(t, pawl, mode, open)
		})
	}
}

// selectors defines functions for the scripts of useExample.
const selectors = `globalThis.$ = (selector) => document.querySelector(selector);
	globalThis.$$ = (selector) => document.querySelectorAll(selector);`

// useExample does with the app what its user would do. open opens it in a new tab.
func useExample(t *testing.T, pawl *pawltest.Server, mode string, open func() tab) {
	other, err := pawl.Client().Login(t.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	one := open()
	one.until(`!$("#sign-in").hidden`)
	one.fill(pawltest.Login, "wrong")
	one.until(`$("#message").textContent.includes("password")`)
	one.fill(pawltest.Login, pawltest.Password)
	one.until(`$("#name").textContent === "John Smith" && $("#level").textContent === "MailboxAdmin"`)
	inScript := eval[bool](one, `JSON.stringify(localStorage).includes("eyJ") || document.cookie !== ""`)
	if inScript != (mode == "token") {
		t.Errorf("scripts can read the token: %t", inScript)
	}
	eval[bool](one, `document.body.append(Object.assign(document.createElement("script"),
		{ textContent: "window.injected = true" })), true`)
	if eval[bool](one, "window.injected === true") {
		t.Error("an injected script runs")
	}

	one.until(`$$("[data-session]").length === 2`)
	eval[bool](one, `$("[data-session=other]").click(), true`)
	one.until(`$$("[data-session]").length === 1`)
	if _, err := pawl.Client(client.WithBearer(other.Token)).Session(t.Context()); err == nil {
		t.Error("the session that was ended in the list is live")
	}

	if mode == "cookie" {
		eval[bool](one, "localStorage.clear(), true") // the cookie remains
	}
	two := open()
	two.until(`$("#name").textContent === "John Smith"`) // without a sign-in
	eval[bool](two, `$("#sign-out").click(), true`)
	one.until(`!$("#sign-in").hidden && $("#account").hidden`)
	one.fill(pawltest.Login, pawltest.Password)
	two.until(`$$("[data-session=current]").length === 1`)
	eval[bool](two, `$("[data-session=current]").click(), true`)
	two.until(`$("#message").textContent === "You were signed out."`)
	one.until(`!$("#sign-in").hidden`)
}

// fill fills in the sign-in of the example and sends it.
func (t tab) fill(login, password string) {
	t.Helper()
	eval[bool](t, fmt.Sprintf(`$("#login").value = %q, $("#password").value = %q, $("#sign-in button").click(), true`,
		login, password))
}
