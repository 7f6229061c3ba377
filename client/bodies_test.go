package client_test

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

// openBodies counts the open response bodies.
type openBodies struct{ atomic.Int64 }

func (o *openBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		o.Add(1)
		resp.Body = &body{ReadCloser: resp.Body, open: o}
	}
	return resp, err
}

type body struct {
	io.ReadCloser
	open   *openBodies
	closed atomic.Bool
}

func (b *body) Close() error {
	if b.closed.CompareAndSwap(false, true) {
		b.open.Add(-1)
	}
	return b.ReadCloser.Close()
}

// TestBodiesAreClosed checks the bodies of successes, of errors, and of the 401 that a Transport does not return.
func TestBodiesAreClosed(t *testing.T) {
	l, open := newLossy(t), new(openBodies)
	plain := l.Client(client.WithHTTPClient(&http.Client{Transport: open}), client.WithRetries(0))
	s := client.NewTokenSource(plain, client.TokenConfig{
		Login: pawltest.Login, Password: pawltest.Password, Clock: l.Clock.Now,
	})
	c := plain.With(client.WithHTTPClient(&http.Client{Transport: &client.Transport{Source: s, Base: open}}))
	if _, err := c.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.resetUser(t)
	if _, err := c.Me(t.Context()); err != nil { // after a rejected refresh, and a login
		t.Fatal(err)
	}
	if _, err := plain.Me(t.Context()); err == nil {
		t.Error("a call without credentials succeeded")
	}
	if n := open.Load(); n != 0 {
		t.Errorf("%d bodies are open, want 0", n)
	}
}

// TestEndlessResponse checks that a client reads at most 16 MiB of a response.
func TestEndlessResponse(t *testing.T) {
	part := strings.Repeat("a", 1<<20)
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.WriteString(w, `{"success":true,"data":{},"errorCode":"","message":"`)
		for range 20 {
			if err == nil {
				_, err = io.WriteString(w, part)
			}
		}
		_, _ = io.WriteString(w, `"}`)
	})
	if _, err := newClient(t, url).Version(t.Context()); err == nil {
		t.Error("the client read a response of 20 MiB")
	}
}
