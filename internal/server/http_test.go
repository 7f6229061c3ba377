package server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/pawlauth/pawl/internal/server"
)

// serveHTTP runs a server on a listener until the test ends.
func serveHTTP(t *testing.T, c server.HTTPConfig, listener net.Listener) *server.HTTPServer {
	t.Helper()
	web := server.NewHTTPServer(c)
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(web.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return web
}

// TestShutdown checks that Shutdown rejects new connections and waits for a request in flight, and that it closes the
// connection once its context ends.
func TestShutdown(t *testing.T) {
	for name, finishes := range map[string]bool{"the request finishes": true, "the context ends": false} {
		t.Run(name, func(t *testing.T) {
			entered, leave := make(chan struct{}), make(chan struct{})
			handler := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				close(entered)
				<-leave
			})
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			addr := listener.Addr().String()
			web := serveHTTP(t, server.HTTPConfig{Handler: handler}, listener)
			answered := make(chan error, 1)
			conn := dial(t, addr)
			go func() { answered <- ask(conn) }()
			<-entered
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			drained := make(chan error, 1)
			go func() { drained <- web.Shutdown(ctx) }()
			for refused := false; !refused; {
				probe, err := net.Dial("tcp", addr)
				if refused = err != nil; !refused {
					probe.Close()
				}
			}
			if finishes {
				close(leave)
			} else {
				cancel()
			}
			if err := <-drained; err != nil {
				t.Errorf("Shutdown: %v", err)
			}
			if err := <-answered; (err == nil) != finishes {
				t.Errorf("the request in flight: %v", err)
			}
			if !finishes {
				close(leave)
			}
		})
	}
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func ask(conn net.Conn) error {
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil && resp.StatusCode != 200 {
		err = errors.New(resp.Status)
	}
	return err
}
