package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// health runs "pawl health", and returns its exit code and what it said.
func health(t *testing.T, args ...string) (int, string) {
	var out, errs strings.Builder
	code := run(t.Context(), append([]string{"health"}, args...), stdio{strings.NewReader(""), &out, &errs})
	return code, out.String() + errs.String()
}

// TestHealth asks a server that lives and cannot serve, by HTTP and HTTPS, at
// the addresses that serve may be given.
func TestHealth(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	port := func(s *httptest.Server) string {
		_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
		return port
	}
	for _, host := range []string{"", "0.0.0.0", "[::]", "127.0.0.1", "localhost"} {
		if code, said := health(t, "--live", "--addr", host+":"+port(plain)); code != exitOK || said != "ok\n" {
			t.Errorf("host %q: %d %s", host, code, said)
		}
	}
	if code, said := health(t, "--addr", ":"+port(plain)); code != exitFailed || !strings.Contains(said, "/readyz answers 503") {
		t.Errorf("a server that is not ready: %d %s", code, said)
	}
	if code, said := health(t, "--live", "--tls-cert", "any.pem", "--addr", ":"+port(secure)); code != exitOK {
		t.Errorf("HTTPS: %d %s", code, said)
	}
	t.Setenv("PAWL_ADDR", ":"+port(plain))
	t.Setenv("HTTP_PROXY", "http://192.0.2.1:1")
	if code, said := health(t, "--live"); code != exitOK {
		t.Errorf("the address from PAWL_ADDR: %d %s", code, said)
	}
	plain.Close()
	if code, said := health(t); code != exitFailed || !strings.Contains(said, "does not answer") {
		t.Errorf("no server: %d %s", code, said)
	}
}

// TestHealthOnIPv6 needs a machine that has it.
func TestHealthOnIPv6(t *testing.T) {
	for _, host := range []string{"[::]", "[::1]"} {
		listener, err := net.Listen("tcp", host+":0")
		if err != nil {
			t.Skip("this machine has no IPv6: ", err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		defer server.Close()
		go server.Serve(listener)
		if code, said := health(t, "--addr", listener.Addr().String()); code != exitOK {
			t.Errorf("%s: %d %s", host, code, said)
		}
	}
}

// TestHealthHangs: a server that accepts and says nothing is not healthy.
func TestHealthHangs(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for conn, err := listener.Accept(); err == nil; conn, err = listener.Accept() {
			go io.Copy(io.Discard, conn) // ends when the client closes
		}
	}()
	if code, said := health(t, "--addr", listener.Addr().String(), "--timeout", "50ms"); code != exitFailed {
		t.Errorf("%d %s", code, said)
	}
}
