//go:build unix

package e2e_test

import (
	"io"
	"net"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

// TestSlowClients checks that the server disconnects a client that sends nothing, or that sends a header or a body a
// byte at a time without end.
func TestSlowClients(t *testing.T) {
	if testing.Short() {
		t.Skip("the deadline of a request is 15 seconds")
	}
	binary, data := testbin.Build(t), filepath.Join(t.TempDir(), "data")
	testbin.Init(t, binary, nil, "--data", data)
	server := testbin.StartServe(t, binary, nil, "--data", data)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	for name, start := range map[string]string{
		"nothing":  "",
		"a header": "POST /v2/auth/login HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"a body":   "POST /v2/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 16000\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", address.Host)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			disconnected := make(chan struct{})
			go func() {
				defer close(disconnected)
				_, _ = io.Copy(io.Discard, conn) // returns when the server closes the connection
			}()
			if _, err := io.WriteString(conn, start); err != nil {
				t.Fatal(err)
			}
			drip := time.NewTicker(200 * time.Millisecond)
			defer drip.Stop()
			for range 300 { // a minute
				select {
				case <-disconnected:
					return
				case <-drip.C:
					if start != "" {
						_, _ = conn.Write([]byte(" ")) // fails once the server has closed the connection
					}
				}
			}
			t.Error("after a minute, the server has not disconnected the client")
		})
	}
}
