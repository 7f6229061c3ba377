package server_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/server"
)

// serveHTTP runs a server until the test ends, and returns its address.
func serveHTTP(t *testing.T, c server.HTTPConfig) (web *server.HTTPServer, addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web = server.NewHTTPServer(c)
	served := make(chan error, 1)
	go func() { served <- web.Serve(listener) }()
	t.Cleanup(func() {
		if err := errors.Join(web.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
	return web, listener.Addr().String()
}

// TestMaxConnections checks that a connection above the limit is closed, and that a closed connection makes room for
// another one.
func TestMaxConnections(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") })
	_, addr := serveHTTP(t, server.HTTPConfig{Handler: handler, MaxConnections: 1})
	first := dial(t, addr)
	if err := ask(first); err != nil {
		t.Fatal(err)
	}
	if err := ask(dial(t, addr)); err == nil {
		t.Error("a second connection was served")
	}
	first.Close()
	deadline := time.Now().Add(20 * time.Second)
	for ask(dial(t, addr)) != nil {
		if time.Now().After(deadline) {
			t.Fatal("a closed connection still counts")
		}
		time.Sleep(2 * time.Millisecond)
	}
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
			web, addr := serveHTTP(t, server.HTTPConfig{Handler: handler})
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
