package sdk_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/pawltest"
)

// realTime lets the server's clock run.
var realTime = pawltest.WithConfig(func(c *app.Config) { c.Clock = time.Now })

// site is an app on its own origin that serves the compiled package and a page that uses it.
type site struct {
	*httptest.Server
	cookie bool                             // whether the page uses cookie mode
	handle atomic.Pointer[http.HandlerFunc] // answers /render; set before a page calls it
}

// modes runs a test in token mode, and in cookie mode, where the site and Pawl have HTTPS.
func modes(t *testing.T, test func(*testing.T, *site)) {
	for name, cookie := range map[string]bool{"token": false, "cookie": true} {
		t.Run(name, func(t *testing.T) { test(t, newSite(t, cookie)) })
	}
}

// serve starts a server, with HTTPS in cookie mode.
func serve(t *testing.T, cookie bool, handler http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a browser that trusts no certificate yet closes connections
	if cookie {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

const pageText = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><script type="module">
import { createSession } from "/dist/index.js";
const query = new URLSearchParams(location.search);
window.url = query.get("pawl");
window.ended = 0;
window.began = 0;
window.good = 0;
window.lost = 0;
window.wrong = [];
window.session = createSession({
  url, mode: query.get("mode") ?? "token", onSignedIn: () => began++, onSignedOut: () => {
    ended++;
    window.endedAt = Date.now();
  },
});
const credentials = query.get("mode") === "cookie" ? "include" : "omit";
window.bare = async () => (await fetch(url + "/v2/auth/session", { method: "POST", credentials })).status;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
window.call = async () => (await session.fetch(url + "/v2/auth/session", { method: "POST" })).status;
window.work = async () => {
  for (;;) {
    try {
      const status = await call();
      // The render may supersede a token between the repeat of a call and its arrival.
      status === 200 ? good++ : status === 401 ? lost++ : wrong.push(status);
    } catch (e) {
      e.temporary || e instanceof TypeError ? lost++ : wrong.push(String(e));
    }
    await sleep(150);
  }
};
window.render = async () => {
  for (;;) {
    try {
      const answer = await fetch("/render", { headers: { Authorization: "Bearer " + (await session.token()) } });
      answer.ok ? good++ : wrong.push("render " + (await answer.text()));
    } catch (e) {
      e.temporary ? lost++ : wrong.push(String(e));
    }
    await sleep(200);
  }
};
window.ready = true;
</script>`

var (
	compiling sync.Mutex // guards scripts
	scripts   fstest.MapFS
)

// compiled returns the scripts of the package. Only the first call compiles them.
func compiled(t *testing.T) fs.FS {
	compiling.Lock()
	defer compiling.Unlock()
	if scripts != nil {
		return scripts
	}
	files, err := filepath.Glob(filepath.Join(build(t), "dist", "*.js"))
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts were compiled: ", err)
	}
	all := fstest.MapFS{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(file)] = &fstest.MapFile{Data: text}
	}
	scripts = all
	return scripts
}

func newSite(t *testing.T, cookie bool) *site {
	mux := http.NewServeMux()
	s := &site{cookie: cookie}
	mux.Handle("/dist/", http.StripPrefix("/dist/", http.FileServerFS(compiled(t))))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, pageText)
	})
	mux.HandleFunc("/render", func(w http.ResponseWriter, r *http.Request) { (*s.handle.Load())(w, r) })
	s.Server = serve(t, cookie, mux)
	return s
}

// unreliable is a proxy in front of a server. While bad is set, it drops a third of the responses, after the server has
// sent them, and delays another third.
type unreliable struct {
	*httptest.Server
	bad atomic.Bool
}

func newUnreliable(t *testing.T, cookie bool, target string) *unreliable {
	address, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(address) }}
	u := &unreliable{}
	u.Server = serve(t, cookie, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !u.bad.Load() || r.Method == http.MethodOptions {
			proxy.ServeHTTP(w, r)
			return
		}
		response := httptest.NewRecorder()
		proxy.ServeHTTP(response, r)
		switch rand.IntN(3) {
		case 0:
			panic(http.ErrAbortHandler) // closes the connection
		case 1:
			time.Sleep(time.Duration(rand.IntN(800)) * time.Millisecond)
		}
		for name, values := range response.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(response.Code)
		_, _ = w.Write(response.Body.Bytes())
	}))
	return u
}

// renderer answers pages as a render on the server does that shares a session with the tabs, but no storage: it
// refreshes a token that expires soon, without an Idempotency-Key, and keeps the successor to itself. In cookie mode
// the browser sends it Pawl's cookie, because cookies ignore ports.
func renderer(pawl string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text, body := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), "{}"
		cookie, err := r.Cookie("__Host-pawl")
		if err == nil {
			text = cookie.Value
		} else {
			body = `{"token":"` + text + `"}`
		}
		if time.Until(expiry(text)) > 1500*time.Millisecond {
			return
		}
		address := pawl + "/v2/auth/refresh"
		request, _ := http.NewRequestWithContext(r.Context(), "POST", address, strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		if cookie != nil {
			request.AddCookie(cookie)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		w.WriteHeader(response.StatusCode)
		_, _ = io.Copy(w, response.Body)
	}
}

// expiry returns the exp of a token.
func expiry(text string) time.Time {
	var claims struct{ Exp int64 }
	if parts := strings.Split(text, "."); len(parts) == 3 {
		payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(payload, &claims)
	}
	return time.Unix(claims.Exp, 0)
}
