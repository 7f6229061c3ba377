package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/pawltest"
)

// hotCall returns the bytes of a call that the fast lane answers.
func hotCall(path, body string, headers ...string) string {
	text := "POST " + path + " HTTP/1.1\r\nHost: pawl\r\nUser-Agent: test\r\nX-Request-Id: same\r\n"
	if body != "" {
		text += fmt.Sprintf("Content-Length: %d\r\n", len(body))
	}
	for _, header := range headers {
		text += header + "\r\n"
	}
	return text + "\r\n" + body
}

// listen returns a listener and its address.
func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener, listener.Addr().String()
}

// sendRaw sends bytes to a server, ends the stream, and returns the response as it is on the wire.
func sendRaw(t *testing.T, addr, text string) string {
	t.Helper()
	conn := dial(t, addr)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// hotCalls returns hot calls that succeed, and some that fail in each way. old is superseded. A refresh of lost is a
// replay.
func hotCalls(b *browser, token, old, lost string) []string {
	calls := []string{
		hotCall("/v2/auth/session", "", "Authorization: Bearer "+token),
		hotCall("/v2/auth/session", "", "authorization: bearer  "+token, "X-API-Key: "+b.APIKey),
		hotCall("/v2/auth/session", "", "X-API-Key: "+b.APIKey),
		hotCall("/v2/auth/session", "", "X-API-Key:"),
		hotCall("/v2/auth/session", "", "Authorization: Bearer "+old),
		hotCall("/v2/auth/session", "", "Authorization: Bearer a.b.c"),
		hotCall("/v2/auth/session", "", "Authorization: Bearer a", "Authorization: Bearer b"),
		hotCall("/v2/auth/session", ""),
		hotCall("/v2/auth/session", "{}", "Authorization: Bearer "+token),
		hotCall("/v2/auth/refresh", tokenBody(lost), "Content-Type: application/json", "Idempotency-Key: lost"),
		hotCall("/v2/auth/refresh", tokenBody("a.b.c"), "Content-Type: application/json"),
		hotCall("/v2/auth/refresh", tokenBody("x"), "Content-Type: application/json"),
		hotCall("/v2/auth/refresh", "{", "Content-Type: application/json"),
		hotCall("/v2/auth/refresh", "{}", "Content-Type: text/plain"),
		hotCall("/v2/auth/refresh", "{}", "Content-Type: application/json", "X-Forwarded-For: 192.0.2.1"),
		hotCall("/v2/auth/refresh", ""),
	}
	for _, form := range [][]string{
		{"token=" + token, apiKey(b.APIKey)},
		{"token_type_hint=x&token=" + token, "x-api-key:  " + b.APIKey},
		{"token=" + token, "Authorization: Bearer " + b.APIKey},
		{"token=" + token, basic(strings.ReplaceAll(b.APIKey, "_", "%5F"))},
		{"client_id=a&client_secret=" + url.QueryEscape(b.APIKey) + "&token=" + token},
		{"token=" + old, apiKey(b.APIKey)},
		{"token=a.b.c", basic(b.APIKey)},
		{"token=" + token, basic(b.APIKey), apiKey(b.APIKey)},
		{"token=" + token, apiKey(b.APIKey), apiKey(b.APIKey)},
		{"token=" + token, basic("x")},
		{"token=" + token, "Authorization: Digest x"},
		{"token=" + token, bearer(token)},
		{"token=" + token},
		{"token=a&token=b", apiKey(b.APIKey)},
		{"token=%zz", apiKey(b.APIKey)},
		{"token=", apiKey(b.APIKey)},
		{"", apiKey(b.APIKey)},
		{"", "X-API-Key:"},
	} {
		headers := append(form[1:], "Content-Type: application/x-www-form-urlencoded")
		calls = append(calls, hotCall("/oauth2/introspect", form[0], headers...))
	}
	return append(calls, hotCall("/oauth2/introspect", "{}", apiKey(b.APIKey), "Content-Type: application/json"))
}

// TestFastLane sends the hot calls, with success and with each kind of error, to Pawl's handlers by net/http and by the
// fast lane. The responses and the lines of the access log must be the same, except the time.
func TestFastLane(t *testing.T) {
	var lines bytes.Buffer
	var handler http.Handler // the whole chain
	b := &browser{t, pawltest.New(t,
		pawltest.WithConfig(func(c *app.Config) {
			c.Metrics = metrics.New("test")
			c.Limits = server.Limits{RefreshRate: 1000, MaxInFlight: 10}
			c.AccessLog = slog.New(slog.NewTextHandler(&lines, nil))
		}),
		pawltest.WithHandler(func(next http.Handler) http.Handler { handler = next; return next }))}
	token, old := b.login(), b.login()
	lost := b.login()
	b.refresh(200, old)
	b.refresh(200, lost, "Idempotency-Key: lost") // the calls below replay it
	calls := hotCalls(b, token, old, lost)
	varying := regexp.MustCompile(`(?m)^Date: .*\r$|time=\S+ | ms=\S+`)
	var answers [2]string // of net/http, and of the lane; with the access log
	writers := map[string]int{}
	counting := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writers[fmt.Sprintf("%T", w)]++
		handler.ServeHTTP(w, r)
	})
	for i := range answers {
		listener, addr := listen(t)
		lines.Reset()
		web := serveHTTP(t, server.HTTPConfig{Handler: counting, FastLane: i == 1}, listener)
		for _, call := range calls {
			answers[i] += sendRaw(t, addr, call) + "\n"
		}
		if err := web.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		answers[i] = varying.ReplaceAllString(answers[i]+lines.String(), "")
	}
	if answers[0] != answers[1] {
		t.Errorf("net/http answers:\n%s\nthe lane answers:\n%s", answers[0], answers[1])
	}
	if writers["*fastlane.response"] != len(calls) {
		t.Errorf("the lane must answer each call of its server, but the calls are answered by %v", writers)
	}
	if n := strings.Count(answers[1], "HTTP/1.1 200 OK"); n != 12 {
		t.Errorf("%d of the calls succeed, want 12:\n%s", n, answers[1])
	}
}

// newFast runs a handler with the fast lane, and returns the address.
func newFast(t *testing.T, c server.HTTPConfig) (*server.HTTPServer, string) {
	t.Helper()
	c.FastLane = true
	listener, addr := listen(t)
	return serveHTTP(t, c, listener), addr
}

// TestFastLaneStops stops many servers at once, so that in some of them the lane is first to close the listener, and in
// others net/http. A stop is never an error.
func TestFastLaneStops(t *testing.T) {
	var servers sync.WaitGroup
	for range 64 {
		servers.Go(func() {
			for range 50 {
				if err := startAndStop(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	servers.Wait()
}

// startAndStop runs a server with the fast lane until it has answered one request, and returns the error of the stop.
func startAndStop(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := server.NewHTTPServer(server.HTTPConfig{Handler: http.NotFoundHandler(), FastLane: true})
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	answer, err := http.Get("http://" + listener.Addr().String())
	if err == nil {
		err = answer.Body.Close()
	}
	return errors.Join(err, web.Shutdown(ctx), <-served)
}

// onRecord is a slog.Handler that calls a function for each record.
type onRecord func(slog.Record)

func (onRecord) Enabled(context.Context, slog.Level) bool { return true }

func (f onRecord) Handle(_ context.Context, r slog.Record) error {
	f(r)
	return nil
}

func (f onRecord) WithAttrs([]slog.Attr) slog.Handler { return f }
func (f onRecord) WithGroup(string) slog.Handler      { return f }

// TestStopBeforeServer closes the listener after a stop has begun and before net/http begins to stop, as the lane may.
func TestStopBeforeServer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	web := server.NewHTTPServer(server.HTTPConfig{
		Handler: http.NotFoundHandler(), FastLane: true,
		Log: slog.New(onRecord(func(r slog.Record) {
			if strings.HasPrefix(r.Message, "draining") {
				listener.Close()
				if err := <-served; err != nil {
					t.Errorf("Serve returned %v", err)
				}
			}
		})),
	})
	go func() { served <- web.Serve(listener) }()
	answer, err := http.Get("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if err := web.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown returned %v", err)
	}
}

// TestFastLaneDrains checks that Shutdown waits for a request in the fast lane, and cuts it off once its context ends.
func TestFastLaneDrains(t *testing.T) {
	for name, finishes := range map[string]bool{"the request finishes": true, "the context ends": false} {
		t.Run(name, func(t *testing.T) {
			entered, leave := make(chan struct{}), make(chan struct{})
			web, addr := newFast(t, server.HTTPConfig{Handler: http.HandlerFunc(
				func(http.ResponseWriter, *http.Request) { close(entered); <-leave })})
			conn := dial(t, addr)
			if _, err := io.WriteString(conn, hotCall("/v2/auth/session", "")); err != nil {
				t.Fatal(err)
			}
			<-entered
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			drained := make(chan error, 1)
			go func() { drained <- web.Shutdown(ctx) }()
			if finishes {
				close(leave)
			} else {
				cancel()
				defer close(leave)
			}
			if err := <-drained; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if _, err := http.ReadResponse(bufio.NewReader(conn), nil); (err == nil) != finishes {
				t.Errorf("the request in flight: %v", err)
			}
		})
	}
}

// TestFastLaneMakesRoom checks the limit on connections: one more takes the slot of an idle connection in the lane, and
// not that of a busy one.
func TestFastLaneMakesRoom(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	_, addr := newFast(t, server.HTTPConfig{MaxConnections: 2, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v2/auth/refresh" {
				entered <- struct{}{}
				<-leave
			}
			_, _ = io.WriteString(w, "ok")
		})})
	busy, silent := dial(t, addr), dial(t, addr)
	if _, err := io.WriteString(busy, hotCall("/v2/auth/refresh", "{}")); err != nil {
		t.Fatal(err)
	}
	<-entered
	third := dial(t, addr)
	if _, err := silent.Read(make([]byte, 1)); err == nil {
		t.Error("the idle connection stays open")
	}
	if err := ask(third); err != nil {
		t.Errorf("the new connection: %v", err)
	}
	close(leave)
	if _, err := http.ReadResponse(bufio.NewReader(busy), nil); err != nil {
		t.Errorf("the busy connection: %v", err)
	}
}
