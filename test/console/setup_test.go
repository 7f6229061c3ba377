package console_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/console"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
	"github.com/pawlauth/pawl/internal/test/wallclock"
	"github.com/pawlauth/pawl/pawltest"
)

const (
	firstLogin    = "first@example.com"
	firstPassword = "F1rst!admin"
)

// emptyStores are addresses of a store of each kind that does not exist yet.
func emptyStores(t *testing.T) map[string]string {
	t.Helper()
	cluster := pgtest.Start(t)
	return map[string]string{
		"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "new"), "postgres": cluster.DSN(cluster.Database(t)),
	}
}

// serveSetup starts "pawl serve --setup", and returns its address, and the code that it prints. It returns all that the
// server has printed once the server has been stopped.
func serveSetup(t *testing.T, store string) (address, code string, stop func() string) {
	t.Helper()
	cmd := exec.Command(testbin.Build(t), "serve", "--setup", "--addr", "127.0.0.1:0")
	cmd.Env = append(cmd.Environ(), "PAWL_STORE="+store, "PAWL_MASTER_KEY="+seal.NewKey())
	var log strings.Builder
	cmd.Stderr = &log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceValue(func() string {
		_ = cmd.Process.Kill() // an error means that it has exited
		_ = cmd.Wait()
		return log.String()
	})
	t.Cleanup(func() { stop() })
	lines := bufio.NewReader(stdout)
	for code == "" {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%v\n%s", err, stop())
		}
		if link, ok := strings.CutPrefix(line, "Create one at  "); ok {
			address = strings.TrimSuffix(strings.TrimSpace(link), "/console/setup")
		}
		if rest, ok := strings.CutPrefix(line, "with the code  "); ok {
			code, _, _ = strings.Cut(rest, " ")
		}
	}
	return address, code, stop
}

// TestFirstStart starts a server on a store that does not exist, and creates the administrator in the browser. Before
// that, the server must not look healthy. After it, the server serves without a restart, and the code is used up.
func TestFirstStart(t *testing.T) {
	for name, store := range emptyStores(t) {
		t.Run(name, func(t *testing.T) {
			address, code, stop := serveSetup(t, store)
			pawl := &pawltest.Server{URL: address}
			login := func() error {
				_, err := pawl.Client(client.WithRetries(0)).Login(t.Context(), firstLogin, firstPassword)
				return err
			}
			v := checkClosed(t, address)
			if err := login(); err == nil || !strings.Contains(err.Error(), "has no administrator yet") {
				t.Errorf("before the setup, a login has the error %v", err)
			}
			b, late := newTab(t, pawl), newTab(t, pawl)
			for _, tab := range []tab{b, late} {
				tab.open("/people")
				if at := tab.at(); at != "/console/setup" {
					t.Fatalf("the first page is %s", at)
				}
			}
			b.fill("code", "AAAAA-AAAAA-AAAAA-AAAAA")
			b.fill("login", firstLogin)
			b.fillNew("short", "short")
			if got := b.submit(); !strings.Contains(got, "The code is wrong") {
				t.Errorf("a wrong code: %q", got)
			}
			b.replace("code", strings.ToLower(strings.ReplaceAll(code, "-", " ")))
			b.fillNew("short", "short")
			if got := b.submit(); !strings.Contains(got, "8 characters") {
				t.Errorf("a short password: %q", got)
			}
			b.fillNew(firstPassword, firstPassword+"x")
			if got := b.submit(); !strings.Contains(got, "differ") {
				t.Errorf("two passwords: %q", got)
			}
			b.fillNew(firstPassword, firstPassword)
			if got := b.submit(); !strings.Contains(got, "The administrator is created") {
				t.Fatalf("create: %q", got)
			}
			b.until(`!!document.querySelector("#bar") && !!document.querySelector(".charts")`)
			if err := login(); err != nil {
				t.Errorf("after the setup: %v", err)
			}
			if response, _ := v.send("/readyz", nil); response.StatusCode != http.StatusOK {
				t.Errorf("after the setup, /readyz has %s", response.Status)
			}
			late.fill("code", code)
			late.fill("login", "late@example.com")
			late.fillNew(firstPassword, firstPassword)
			if got := late.submit(); !strings.Contains(got, "There is an administrator already") {
				t.Errorf("the second administrator: %q", got)
			}
			if log := stop(); strings.Contains(log, code) || !strings.Contains(log, "has no administrator") {
				t.Errorf("the log has the code, or no warning: %s", log)
			}
		})
	}
}

// checkClosed checks that a server without an administrator answers only for its health and the setup.
func checkClosed(t *testing.T, address string) visitor {
	t.Helper()
	v := visitor{tb: t, url: address}
	for path, want := range map[string]int{
		"/readyz": 503, "/healthz": 200, "/docs": 503, "/v2/auth/version": 503, "/.well-known/jwks.json": 503,
		"/console/people": 303, "/console/console.css": 200, "/": 503,
	} {
		if response, text := v.send(path, nil); response.StatusCode != want {
			t.Errorf("before the setup, %s has %s, %s", path, response.Status, text)
		}
	}
	return v
}

// fillNew types a new password and its repetition.
func (b tab) fillNew(password, again string) {
	b.Helper()
	b.replace("password", password)
	b.replace("again", again)
}

// setupNode is a node on a store without an administrator.
type setupNode struct {
	*visitor
	app  *app.App
	code string
}

func openSetup(t *testing.T, store string, key *seal.Box, clock func() time.Time) setupNode {
	t.Helper()
	address, err := app.ParseStoreAddress(store)
	if err != nil {
		t.Fatal(err)
	}
	a, err := app.Open(t.Context(), app.Config{
		Store: address, MasterKey: key, Setup: true, Console: console.DefaultPath, Clock: clock,
		Argon2: password.Params{MemoryKiB: 64, Passes: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(a.Handler)
	t.Cleanup(func() {
		web.Close()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return setupNode{
		visitor: newVisitor(t, &pawltest.Server{URL: web.URL}), app: a, code: a.Console.BeginSetup(t.Context()),
	}
}

// create sends the form with a login and a code.
func (n setupNode) create(login, code string) (*http.Response, string) {
	n.tb.Helper()
	return n.send("/setup", url.Values{
		"code": {code}, "login": {login}, "password": {firstPassword}, "again": {firstPassword},
	})
}

func (n setupNode) status(path string) int {
	n.tb.Helper()
	v := visitor{tb: n.tb, url: strings.TrimSuffix(n.url, console.DefaultPath)}
	response, _ := v.send(path, nil)
	return response.StatusCode
}

// TestFirstStartAtOnce sends right codes to several nodes at once. One administrator may come of it. Afterwards every
// node serves, because each finds the administrator of another one.
func TestFirstStartAtOnce(t *testing.T) {
	for name, store := range emptyStores(t) {
		t.Run(name, func(t *testing.T) {
			box, err := seal.NewBox(seal.NewKey())
			if err != nil {
				t.Fatal(err)
			}
			nodes := []setupNode{openSetup(t, store, box, nil)}
			if name == "postgres" {
				nodes = append(nodes, openSetup(t, store, box, nil), openSetup(t, store, box, nil))
			}
			var group sync.WaitGroup
			cookies := make([]string, 12)
			for i := range cookies {
				node := nodes[i%len(nodes)]
				group.Go(func() {
					response, text := node.create(fmt.Sprintf("a%d@example.com", i), node.code)
					cookies[i] = response.Header.Get("Set-Cookie")
					refused := strings.Contains(text, "There is an administrator already") ||
						strings.HasSuffix(response.Header.Get("Location"), "?done=has-admin")
					if refused == (cookies[i] != "") {
						t.Errorf("%s, %s", response.Status, text)
					}
				})
			}
			group.Wait()
			signedIn := strings.Count(strings.Join(cookies, " "), "pawl-console=")
			all, err := nodes[0].app.Store.ListUsers(t.Context(), authority.UserFilter{Limit: 100})
			if err != nil || len(all) != 1 || signedIn != 1 {
				t.Fatalf("there are %d users, %v, and %d are signed in; want 1", len(all), err, signedIn)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for i, node := range nodes {
				for node.status("/readyz") != http.StatusOK {
					if ctx.Err() != nil {
						t.Fatalf("node %d is not ready", i)
					}
					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}
}

// TestSetupCode checks that a code ends by its time, also while the machine is suspended, and by wrong attempts. It is
// refused over a plain network and from another origin. No address finds out more by it: the API stays closed.
func TestSetupCode(t *testing.T) {
	var clock wallclock.Clock
	open := func() (setupNode, string) {
		node := openSetup(t, "sqlite:"+t.TempDir(), nil, clock.Now)
		return node, node.code
	}
	wants := func(response *http.Response, text string, status int, message string) {
		t.Helper()
		if response.StatusCode != status || !strings.Contains(text, message) {
			t.Errorf("%s, %s; want %d, %q", response.Status, text, status, message)
		}
	}
	const over = "no longer valid; restart the server"
	node, code := open()
	for range 10 {
		response, text := node.create(firstLogin, "ABCDE")
		wants(response, text, http.StatusUnauthorized, "The code is wrong")
	}
	response, text := node.create(firstLogin, code)
	wants(response, text, http.StatusForbidden, over)

	node, code = open()
	form := url.Values{"code": {code}, "login": {firstLogin}, "password": {firstPassword}, "again": {firstPassword}}
	response, text = node.send("/setup", form, "Host", "auth.example.com")
	wants(response, text, http.StatusForbidden, "no encryption")
	response, text = node.send("/setup", form, "Sec-Fetch-Site", "cross-site")
	wants(response, text, http.StatusForbidden, "another origin")
	clock.Step(time.Hour + time.Second)
	response, text = node.create(firstLogin, code)
	wants(response, text, http.StatusForbidden, over)
	if node.status("/readyz") != http.StatusServiceUnavailable {
		t.Error("the node is ready without an administrator")
	}

	node, code = open()
	response, text = node.create("no mail address", code)
	wants(response, text, http.StatusBadRequest, "not a mail address")
	response, text = node.create(firstLogin, code)
	wants(response, text, http.StatusSeeOther, "")
}
