//go:build linux

package observe_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
)

// TestMetricsListener checks that the listener for metrics serves nothing but /metrics and the health checks. It has at
// most 64 connections, so that it cannot use up the file descriptors that clients need, and idle ones make room for new
// ones.
func TestMetricsListener(t *testing.T) {
	s := start(t, "")
	address, err := url.Parse(s.Metrics)
	if err != nil {
		t.Fatal(err)
	}
	for path, status := range map[string]int{
		"/": 404, "/debug/pprof/": 404, "/v2/auth/version": 404, "/metrics/": 404, "/healthz": 200, "/readyz": 200,
	} {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+address.Host+path, nil)
		do(t, r, status)
	}
	http.DefaultClient.CloseIdleConnections()
	var open []net.Conn
	for range 70 {
		conn, err := net.Dial("tcp", address.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		open = append(open, conn)
		if err := ping(conn); err != nil {
			t.Fatalf("connection %d was not served: %v", len(open), err)
		}
	}
	if _, err := io.Copy(io.Discard, open[0]); err != nil { // returns when the server has closed the connection
		t.Log(err)
	}
	if err := ping(open[69]); err != nil {
		t.Errorf("the connection used last was closed: %v", err)
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
