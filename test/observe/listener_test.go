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

// TestMetricsListener checks that the listener for metrics serves nothing but /metrics, and accepts at most 64
// connections, so that it cannot use up the file descriptors that clients need.
func TestMetricsListener(t *testing.T) {
	s := start(t, "")
	address, err := url.Parse(s.Metrics)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/", "/debug/pprof/", "/healthz", "/v2/auth/version", "/metrics/"} {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+address.Host+path, nil)
		do(t, r, http.StatusNotFound)
	}
	http.DefaultClient.CloseIdleConnections()
	var open []net.Conn
	var rejection error
	for len(open) <= 64 && rejection == nil {
		conn, err := net.Dial("tcp", address.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
		rejection = ping(conn)
	}
	if rejection == nil || len(open) < 60 { // a few earlier connections may still count
		t.Fatalf("%d connections, then %v; want an error after about 64", len(open), rejection)
	}
	open[0].Close()
	for rejection != nil { // the server may notice the close later
		conn, err := net.Dial("tcp", address.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		rejection = ping(conn)
	}
}

// ping sends a request, and leaves the connection open.
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
