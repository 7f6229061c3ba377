//go:build linux

package observe_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"testing"
)

// TestMetricsListener: it has /metrics and nothing else, and no more than 64
// connections, so that it cannot take the files that clients need.
func TestMetricsListener(t *testing.T) {
	s := start(t, "")
	at, err := url.Parse(s.Metrics)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/debug/pprof/", "/healthz", "/v2/auth/version", "/metrics/"} {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+at.Host+path, nil)
		do(t, r, http.StatusNotFound)
	}
	http.DefaultClient.CloseIdleConnections()
	var open []net.Conn
	var refused error
	for len(open) <= 64 && refused == nil {
		conn, err := net.Dial("tcp", at.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
		refused = ping(conn)
	}
	if refused == nil || len(open) < 60 { // one or two of those before may not be closed yet
		t.Fatalf("%d connections, then %v", len(open), refused)
	}
	open[0].Close()
	for refused != nil { // until the server has seen the end
		conn, err := net.Dial("tcp", at.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		refused = ping(conn)
	}
}

// ping makes a request and leaves the connection open.
func ping(conn net.Conn) error {
	if _, err := fmt.Fprint(conn, "GET /no-such-path HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusNotFound {
		return errors.New(answer.Status)
	}
	return answer.Body.Close()
}
