package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// health runs pawl health, and returns its exit code and its output.
func health(t *testing.T, args ...string) (int, string) {
	t.Helper()
	var output strings.Builder
	std := stdio{in: strings.NewReader(""), out: &output, err: &output}
	code := run(t.Context(), append([]string{"health"}, args...), std)
	return code, output.String()
}

// TestHealth queries a server that is alive but not ready, over HTTP and HTTPS, at each address that serve may have.
func TestHealth(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	plain := httptest.NewServer(handler)
	defer plain.Close()
	secure := httptest.NewTLSServer(handler)
	defer secure.Close()
	port := func(s *httptest.Server) string {
		_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
		return port
	}
	for _, host := range []string{"", "0.0.0.0", "[::]", "127.0.0.1", "localhost"} {
		if code, output := health(t, "--live", "--addr", host+":"+port(plain)); code != exitOK || output != "ok\n" {
			t.Errorf("host %q: exit code %d, %s", host, code, output)
		}
	}
	code, output := health(t, "--addr", ":"+port(plain))
	if code != exitFailed || !strings.Contains(output, "/readyz answers 503") {
		t.Errorf("a server that is not ready: exit code %d, %s", code, output)
	}
	code, output = health(t, "--live", "--tls-cert", "any.pem", "--addr", ":"+port(secure))
	if code != exitOK {
		t.Errorf("HTTPS: exit code %d, %s", code, output)
	}
	t.Setenv("PAWL_ADDR", ":"+port(plain))
	t.Setenv("HTTP_PROXY", "http://192.0.2.1:1")
	if code, output := health(t, "--live"); code != exitOK {
		t.Errorf("the address of PAWL_ADDR: exit code %d, %s", code, output)
	}
	plain.Close()
	if code, output := health(t); code != exitFailed || !strings.Contains(output, "does not answer") {
		t.Errorf("no server: exit code %d, %s", code, output)
	}
}

// TestHealthOnIPv6 queries a server listening on IPv6.
func TestHealthOnIPv6(t *testing.T) {
	for _, host := range []string{"[::]", "[::1]"} {
		listener, err := net.Listen("tcp", host+":0")
		if err != nil {
			t.Skip("this machine has no IPv6: ", err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
		defer server.Close()
		go server.Serve(listener)
		if code, output := health(t, "--addr", listener.Addr().String()); code != exitOK {
			t.Errorf("%s: exit code %d, %s", host, code, output)
		}
	}
}

// TestHealthHangs queries a server that accepts connections but never answers.
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
	code, output := health(t, "--addr", listener.Addr().String(), "--timeout", "50ms")
	if code != exitFailed {
		t.Errorf("exit code %d, want %d; %s", code, exitFailed, output)
	}
}
