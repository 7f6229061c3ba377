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

// opened counts the bodies of answers that nobody has closed.
type opened struct{ atomic.Int64 }

func (o *opened) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		o.Add(1)
		resp.Body = &body{ReadCloser: resp.Body, opened: o}
	}
	return resp, err
}

type body struct {
	io.ReadCloser
	opened *opened
	closed atomic.Bool
}

func (b *body) Close() error {
	if b.closed.CompareAndSwap(false, true) {
		b.opened.Add(-1)
	}
	return b.ReadCloser.Close()
}

// TestBodiesAreClosed: of good answers and of refusals, and of the 401 that a
// Transport keeps to itself.
func TestBodiesAreClosed(t *testing.T) {
	server, o := newPawl(t), new(opened)
	plain := server.Client(client.WithHTTPClient(&http.Client{Transport: o}), client.WithRetries(0))
	s := client.NewTokenSource(plain, client.TokenConfig{Login: pawltest.Login, Password: pawltest.Password, Clock: server.Clock.Now})
	c := plain.With(client.WithHTTPClient(&http.Client{Transport: &client.Transport{Source: s, Base: o}}))
	if _, err := c.Me(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := server.Client(client.WithAPIKey(server.AdminAPIKey)).ResetUser(t.Context(), pawltest.UserID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Me(t.Context()); err != nil { // by a refresh that is refused, and a login
		t.Fatal(err)
	}
	if _, err := plain.Me(t.Context()); err == nil {
		t.Error("a call without credentials")
	}
	if n := o.Load(); n != 0 {
		t.Errorf("%d bodies are open", n)
	}
}

// TestEndlessAnswer: of an answer, a client reads 16 MiB at most.
func TestEndlessAnswer(t *testing.T) {
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
		t.Error("an answer of 20 MiB was read")
	}
}
