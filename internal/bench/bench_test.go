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

// refreshes is how many the server has done, by its own count.
func refreshes(t *testing.T, server *pawltest.Server) (sum int64) {
	t.Helper()
	list, err := client.New(server.URL, client.WithAPIKey(server.APIKey)).Sessions(t.Context(), api.SessionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, session := range list {
		sum += session.Refreshes
	}
	return sum
}

// TestCountsWhatTheServerDid: each refresh that is counted moved a session, in
// both loops, and the chains go on from run to run.
func TestCountsWhatTheServerDid(t *testing.T) {
	server := pawltest.New(t)
	load := open(t, server.URL, 6)
	var counted int64
	for _, rate := range []float64{0, 200} {
		r, err := load.Run(t.Context(), bench.Plan{Conns: 4, Duration: 300 * time.Millisecond, Rate: rate, Mix: bench.Mix{1, 1}, PID: os.Getpid()})
		if err != nil {
			t.Fatal(err)
		}
		if r.Calls[0].Call != "refresh" || r.Calls[1].Call != "session" || r.Calls[1].Requests == 0 || r.Calls[0].P50 <= 0 {
			t.Errorf("rate %g: %+v", rate, r)
		}
		if rate > 0 && r.Requests > 61 {
			t.Errorf("%d requests, offered were 60", r.Requests)
		}
		counted += r.Calls[0].Requests
		if got := refreshes(t, server); got != counted || counted == 0 {
			t.Fatalf("rate %g: counted %d, the server did %d", rate, counted, got)
		}
	}
}

// TestABrokenChainStops: the sessions end under way.
func TestABrokenChainStops(t *testing.T) {
	server := pawltest.New(t)
	load := open(t, server.URL, 2)
	err := client.New(server.URL, client.WithAPIKey(server.AdminKey)).ResetUser(t.Context(), pawltest.UserID)
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range []bench.Call{bench.Refresh, bench.Session} {
		_, err = load.Run(t.Context(), bench.Plan{Conns: 2, Duration: time.Minute, Mix: bench.Only(call)})
		if err == nil || !strings.Contains(err.Error(), "a chain broke: "+call.String()+" was answered 401 InvalidSession") {
			t.Errorf("%s: %v", call, err)
		}
	}
}

// fake answers sign-ins with a token, and the n-th call after that with answer.
func fake(t *testing.T, answer func(w http.ResponseWriter, n int64)) string {
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/login") {
			fmt.Fprint(w, `{"success":true,"data":{"token":"t","expiresAt":"2026-05-07T20:00:00Z","userId":1},"errorCode":"","message":""}`)
			return
		}
		answer(w, calls.Add(1))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestOnlySuccessesCount: an answer that changed nothing is filed by its code,
// and the chain goes on; every other one stops the run.
func TestOnlySuccessesCount(t *testing.T) {
	url := fake(t, func(w http.ResponseWriter, n int64) {
		if n%2 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"success":false,"data":null,"errorCode":"Unavailable","message":"Later."}`)
			return
		}
		fmt.Fprint(w, `{"success":true,"data":{"token":"next"},"errorCode":"","message":""}`)
	})
	r, err := open(t, url, 1).Run(t.Context(), bench.Plan{Conns: 1, Duration: 100 * time.Millisecond, Mix: bench.Only(bench.Refresh)})
	if err != nil {
		t.Fatal(err)
	}
	if good, bad := r.Requests, r.Calls[0].Errors["Unavailable"]; good == 0 || good-bad < 0 || good-bad > 1 {
		t.Errorf("%d good, %d bad, want half and half", good, bad)
	}
	for name, answer := range map[string]func(http.ResponseWriter){
		"500":        func(w http.ResponseWriter) { w.WriteHeader(500); fmt.Fprint(w, `{"errorCode":"InternalError"}`) },
		"not Pawl's": func(w http.ResponseWriter) { fmt.Fprint(w, `<html>`) },
		"no success": func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"success":false,"data":null,"errorCode":"","message":""}`)
		},
		"no token":    func(w http.ResponseWriter) { fmt.Fprint(w, `{"success":true,"data":null,"errorCode":"","message":""}`) },
		"empty token": func(w http.ResponseWriter) { fmt.Fprint(w, `{"success":true,"data":{"token":"","expiresAt":""}}`) },
		"a long one":  func(w http.ResponseWriter) { fmt.Fprint(w, strings.Repeat("x", 1<<20)) },
		"redirect":    func(w http.ResponseWriter) { w.Header().Set("Location", "/"); w.WriteHeader(302) },
		"hangs up":    func(http.ResponseWriter) { panic(http.ErrAbortHandler) },
	} {
		url := fake(t, func(w http.ResponseWriter, _ int64) { answer(w) })
		_, err := open(t, url, 1).Run(t.Context(), bench.Plan{Conns: 1, Duration: time.Minute, Mix: bench.Only(bench.Refresh)})
		if err == nil || !strings.Contains(err.Error(), "a chain broke: refresh") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLatencyCountsFromWhenItWasDue: behind an answer that takes its time, the
// requests that wait are slow too (no coordinated omission).
func TestLatencyCountsFromWhenItWasDue(t *testing.T) {
	const stall = 200 * time.Millisecond
	url := fake(t, func(w http.ResponseWriter, n int64) {
		if n == 1 {
			time.Sleep(stall)
		}
		fmt.Fprint(w, `{"success":true,"data":{"token":"next"},"errorCode":"","message":""}`)
	})
	r, err := open(t, url, 1).Run(t.Context(), bench.Plan{Conns: 1, Duration: 2 * stall, Rate: 500, Mix: bench.Only(bench.Refresh)})
	if err != nil {
		t.Fatal(err)
	}
	// Some 100 of 200 were due while the server stood still, evenly: a quarter
	// of all waited for half of the stall or longer, whatever the machine does.
	if r.Calls[0].P99 < float64(stall.Milliseconds())/2 {
		t.Errorf("p99 %.1f ms, want half of the stall or more: %+v", r.Calls[0].P99, r)
	}
}

func TestInterrupted(t *testing.T) {
	server := pawltest.New(t)
	load := open(t, server.URL, 2)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := load.Run(ctx, bench.Plan{Conns: 2, Duration: time.Minute, Mix: bench.Only(bench.Session), Progress: func(string) { cancel() }})
	if err == nil || err.Error() != "interrupted" {
		t.Error(err)
	}
}

func TestMix(t *testing.T) {
	var m bench.Mix
	if err := m.UnmarshalText([]byte("session=9,refresh=1")); err != nil || m != (bench.Mix{1, 9}) {
		t.Errorf("%v, %v", m, err)
	}
	for _, text := range []string{"", "refresh", "refresh=", "refresh=-1", "login=1", "refresh=0", "refresh=1,", "refresh=1001"} {
		if err := m.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q passed", text)
		}
	}
}
