package sdk_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/pawltest"
)

// realTime lets the server's clock run.
var realTime = pawltest.WithConfig(func(c *app.Config) { c.Clock = time.Now })

// site is an app on its own origin that serves the compiled package and a page that uses it.
type site struct {
	*httptest.Server
	handle atomic.Pointer[http.HandlerFunc] // answers /render; set before a page calls it
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
  url, mode: query.get("mode") ?? "token", onSignedOut: () => ended++, onSignedIn: () => began++,
});
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

func newSite(t *testing.T) *site {
	dist := filepath.Join(build(t), "dist")
	mux := http.NewServeMux()
	s := &site{}
	mux.Handle("/dist/", http.StripPrefix("/dist/", http.FileServer(http.Dir(dist))))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, pageText)
	})
	mux.HandleFunc("/render", func(w http.ResponseWriter, r *http.Request) { (*s.handle.Load())(w, r) })
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// unreliable is a proxy in front of a server. While bad is set, it drops a third of the responses, after the server has
// sent them, and delays another third.
type unreliable struct {
	*httptest.Server
	bad atomic.Bool
}

func newUnreliable(t *testing.T, target string) *unreliable {
	address, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(address) }}
	u := &unreliable{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	t.Cleanup(u.Close)
	return u
}

// renderer answers pages as a render on the server does that shares a session with the tabs, but no storage: it
// refreshes a token that expires soon, without an Idempotency-Key, and keeps the successor to itself.
func renderer(pawl string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		if time.Until(expiry(text)) > 1500*time.Millisecond {
			return
		}
		response, err := http.Post(pawl+"/v2/auth/refresh", "application/json",
			bytes.NewReader([]byte(`{"token":"`+text+`"}`)))
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
