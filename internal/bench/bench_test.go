package bench_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/bench"
	"github.com/pawlauth/pawl/pawltest"
)

func open(t *testing.T, url string, sessions int) *bench.Load {
	t.Helper()
	load, err := bench.Open(t.Context(), url, pawltest.Login, pawltest.Password, sessions, nil)
	if err != nil {
		t.Fatal(err)
	}
	return load
}

// refreshes returns the number of refreshes counted by the server.
func refreshes(t *testing.T, server *pawltest.Server) (sum int64) {
	t.Helper()
	list, err := server.Client(client.WithAPIKey(server.APIKey)).Sessions(t.Context(), api.SessionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, session := range list {
		sum += session.Refreshes
	}
	return sum
}

// lasts is how long a run lasts on which each connection makes calls of both kinds, also on a busy machine.
const lasts = 3 * time.Second

// TestCountsMatchServer compares the counted refreshes with the server's count in both loops. The chains continue from
// run to run.
func TestCountsMatchServer(t *testing.T) {
	server := pawltest.New(t)
	load := open(t, server.URL, 6)
	var counted int64
	for _, rate := range []float64{0, 200} {
		r, err := load.Run(t.Context(), bench.Plan{
			Conns: 4, Duration: lasts, Rate: rate, PID: os.Getpid(),
			Mix: bench.Mix{bench.Refresh: 1, bench.Session: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
		refresh, session := r.Calls[0], r.Calls[1]
		if refresh.Call != "refresh" || session.Call != "session" || session.Requests == 0 || refresh.P50 <= 0 {
			t.Errorf("rate %g: %+v", rate, r)
		}
		if offered := rate * lasts.Seconds(); rate > 0 && float64(r.Requests) > offered+1 {
			t.Errorf("%d requests of %g offered", r.Requests, offered)
		}
		counted += refresh.Requests
		if got := refreshes(t, server); got != counted || counted == 0 {
			t.Fatalf("rate %g: bench counted %d refreshes, the server %d", rate, counted, got)
		}
	}
}

// TestTwoCredentials sends the calls with an API key.
func TestTwoCredentials(t *testing.T) {
	server := pawltest.New(t)
	load := open(t, server.URL, 4)
	r, err := load.Run(t.Context(), bench.Plan{
		Conns: 4, Duration: lasts, APIKey: server.AdminAPIKey,
		Mix: bench.Mix{bench.RefreshWithKey: 1, bench.Introspect: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	refresh, introspect := r.Calls[0], r.Calls[1]
	if refresh.Call != "refresh+key" || introspect.Call != "introspect" || introspect.Requests == 0 {
		t.Errorf("the result is %+v", r)
	}
	if got := refreshes(t, server); got != refresh.Requests || got == 0 {
		t.Errorf("bench counted %d refreshes, the server %d", refresh.Requests, got)
	}
}

// TestBrokenChainEndsRun ends the sessions between Open and Run.
func TestBrokenChainEndsRun(t *testing.T) {
	server := pawltest.New(t)
	load := open(t, server.URL, 2)
	err := server.Client(client.WithAPIKey(server.AdminAPIKey)).ResetUser(t.Context(), pawltest.UserID)
	if err != nil {
		t.Fatal(err)
	}
	for call, code := range map[bench.Call]string{
		bench.Refresh: "401 InvalidSession", bench.Session: "401 InvalidSession",
		bench.RefreshWithKey: "401 InvalidSession", bench.Introspect: "200 inactive",
	} {
		plan := bench.Plan{Conns: 2, Duration: time.Minute, Mix: bench.Only(call), APIKey: server.AdminAPIKey}
		_, err = load.Run(t.Context(), plan)
		want := "a chain broke: " + call.String() + " returned " + code
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", call, err)
		}
	}
}

// fake starts a server that answers sign-ins with a token and the n-th other call with answer. It returns the address.
func fake(t *testing.T, answer func(w http.ResponseWriter, n int64)) string {
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/login") {
			fmt.Fprint(w, `{"success":true,"data":{"token":"t","expiresAt":"2026-05-07T20:00:00Z","userId":1},`+
				`"errorCode":"","message":""}`)
			return
		}
		answer(w, calls.Add(1))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestOnlySuccessesCount checks that a failure without effect is counted by its code and the chain continues. Every
// other failure ends the run.
func TestOnlySuccessesCount(t *testing.T) {
	url := fake(t, func(w http.ResponseWriter, n int64) {
		if n%2 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"success":false,"data":null,"errorCode":"Unavailable","message":"Later."}`)
			return
		}
		fmt.Fprint(w, `{"success":true,"data":{"token":"next"},"errorCode":"","message":""}`)
	})
	plan := bench.Plan{Conns: 1, Duration: time.Second, Mix: bench.Only(bench.Refresh)}
	r, err := open(t, url, 1).Run(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	successes, failures := r.Requests, r.Calls[0].Errors["Unavailable"]
	if successes == 0 || successes-failures < 0 || successes-failures > 1 {
		t.Errorf("%d successes, %d failures; want half of each", successes, failures)
	}
	for name, answer := range map[string]func(http.ResponseWriter){
		"500":      func(w http.ResponseWriter) { w.WriteHeader(500); fmt.Fprint(w, `{"errorCode":"InternalError"}`) },
		"not Pawl": func(w http.ResponseWriter) { fmt.Fprint(w, `<html>`) },
		"no success": func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"success":false,"data":null,"errorCode":"","message":""}`)
		},
		"no token": func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"success":true,"data":null,"errorCode":"","message":""}`)
		},
		"empty token": func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"success":true,"data":{"token":"","expiresAt":""}}`)
		},
		"too long":    func(w http.ResponseWriter) { fmt.Fprint(w, strings.Repeat("x", 1<<20)) },
		"redirect":    func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(302) },
		"disconnects": func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		url := fake(t, func(w http.ResponseWriter, _ int64) { answer(w) })
		plan := bench.Plan{Conns: 1, Duration: time.Minute, Mix: bench.Only(bench.Refresh)}
		_, err := open(t, url, 1).Run(t.Context(), plan)
		if err == nil || !strings.Contains(err.Error(), "a chain broke: refresh") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLatencyCountsFromDueTime checks that a slow response also counts for the requests waiting behind it (no
// coordinated omission).
func TestLatencyCountsFromDueTime(t *testing.T) {
	const stall = 200 * time.Millisecond
	url := fake(t, func(w http.ResponseWriter, n int64) {
		if n == 1 {
			time.Sleep(stall)
		}
		fmt.Fprint(w, `{"success":true,"data":{"token":"next"},"errorCode":"","message":""}`)
	})
	plan := bench.Plan{Conns: 1, Duration: 5 * stall, Rate: 500, Mix: bench.Only(bench.Refresh)}
	r, err := open(t, url, 1).Run(t.Context(), plan)
	if err != nil {
		t.Fatal(err)
	}
	// About 100 of the 500 requests were due during the stall, evenly spread. On any machine, a tenth of all requests
	// therefore waited for at least half of the stall.
	if r.Calls[0].P99 < float64(stall.Milliseconds())/2 {
		t.Errorf("p99 is %.1f ms, want at least half of the stall: %+v", r.Calls[0].P99, r)
	}
}

func TestInterrupted(t *testing.T) {
	server := pawltest.New(t)
	load := open(t, server.URL, 2)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := load.Run(ctx, bench.Plan{
		Conns: 2, Duration: time.Minute, Mix: bench.Only(bench.Session), Progress: func(string) { cancel() },
	})
	if err == nil || err.Error() != "interrupted" {
		t.Errorf("Run: %v, want interrupted", err)
	}
}

func TestMix(t *testing.T) {
	var m bench.Mix
	want := bench.Mix{bench.Refresh: 1, bench.Session: 9}
	if err := m.UnmarshalText([]byte("session=9,refresh=1")); err != nil || m != want {
		t.Errorf("UnmarshalText: %v, %v", m, err)
	}
	for _, text := range []string{
		"", "refresh", "refresh=", "refresh=-1", "login=1", "refresh=0", "refresh=1,", "refresh=1001",
	} {
		if err := m.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("UnmarshalText accepts %q", text)
		}
	}
}
