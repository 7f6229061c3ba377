package server_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/server"
	"github.com/pawlauth/pawl/internal/test/testcert"
	"github.com/pawlauth/pawl/pawltest"
)

// pipes is a listener whose connections have no buffers, so that a write waits until the client reads.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn), make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// dial returns the client's side of a new connection.
func (p *pipes) dial(t *testing.T) net.Conn {
	inner, outer := net.Pipe()
	p.accepted <- inner
	t.Cleanup(func() { outer.Close() })
	return outer
}

// serverTLS returns the configuration of a server for HTTP/2 alone.
func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	cert, key, err := testcert.PEM(x509.Certificate{NotAfter: time.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}}
}

// http2Client is a client of HTTP/2 that reads only what its test reads.
type http2Client struct {
	*testing.T
	*http2.Framer
}

// newHTTP2Client begins a connection. The server may send this many bytes of each response.
func newHTTP2Client(t *testing.T, inner net.Conn, window uint32) *http2Client {
	t.Helper()
	conn := tls.Client(inner, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	c := &http2Client{t, http2.NewFramer(conn, conn)}
	_, err := io.WriteString(conn, http2.ClientPreface)
	err = errors.Join(err, c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}))
	if window > 0 {
		err = errors.Join(err, c.WriteWindowUpdate(0, window))
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// get begins the first request of the connection.
func (c *http2Client) get(path string) {
	c.Helper()
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range []hpack.HeaderField{
		{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "x"},
		{Name: ":path", Value: path},
	} {
		_ = encoder.WriteField(field) // a bytes.Buffer accepts every write
	}
	err := c.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true,
	})
	if err != nil {
		c.Fatal(err)
	}
}

// await reads frames until one of a type.
func await[T http2.Frame](c *http2Client) T {
	c.Helper()
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			c.Fatal(err)
		}
		if found, ok := frame.(T); ok {
			return found
		}
	}
}

// awaitSlot repeats a call until the server has a slot for it, after a second in which the client before did not read.
func awaitSlot(t *testing.T, call func() (status string)) {
	t.Helper()
	for {
		switch status := call(); status {
		case "200":
			return
		case "503":
			time.Sleep(100 * time.Millisecond)
		default:
			t.Fatalf("status %s", status)
		}
	}
}

// beginHTTP1 requests a document over HTTP/1.1 and reads only the header of the response. isCut reads the rest.
func beginHTTP1(t *testing.T, handler http.Handler, path string) (status string, isCut func() bool) {
	listener := newPipes()
	serveHTTP(t, server.HTTPConfig{Handler: handler}, listener)
	conn := listener.dial(t)
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(resp.StatusCode), func() bool {
		_, err := io.Copy(io.Discard, resp.Body)
		return errors.Is(err, io.ErrUnexpectedEOF)
	}
}

// beginHTTP2 is beginHTTP1 over HTTP/2.
func beginHTTP2(t *testing.T, handler http.Handler, path string) (status string, isCut func() bool) {
	listener, addr := listen(t)
	serveHTTP(t, server.HTTPConfig{Handler: handler, TLS: serverTLS(t)}, listener)
	c := newHTTP2Client(t, dial(t, addr), 0)
	c.get(path)
	frame := await[*http2.HeadersFrame](c)
	fields, err := hpack.NewDecoder(4096, nil).DecodeFull(frame.HeaderBlockFragment())
	if err != nil {
		t.Fatal(err)
	}
	return fields[0].Value, func() bool { return await[*http2.RSTStreamFrame](c).StreamID == 1 }
}

// TestSlowReaders lets clients not read the rest of a long response. A full server answers others in place of the
// response that has waited longest, which it cuts off, but only after it has waited for a second.
func TestSlowReaders(t *testing.T) {
	const path, slow = "/openapi.yaml", 2
	for name, begin := range map[string]func(*testing.T, http.Handler, string) (string, func() bool){
		"HTTP/1.1": beginHTTP1, "HTTP/2": beginHTTP2,
	} {
		t.Run(name, func(t *testing.T) {
			var handler http.Handler
			b := &browser{t, pawltest.New(t,
				pawltest.WithConfig(func(c *app.Config) { c.Limits.MaxInFlight = 1 }),
				pawltest.WithHandler(func(next http.Handler) http.Handler { handler = next; return next }))}
			var cut []func() bool
			begun := time.Now()
			for len(cut) < slow {
				awaitSlot(t, func() string {
					status, isCut := begin(t, handler, path)
					if status == "200" {
						cut = append(cut, isCut)
					}
					return status
				})
			}
			awaitSlot(t, func() string {
				resp, _ := b.send("GET", "/v2/auth/version", "")
				return strconv.Itoa(resp.StatusCode)
			})
			if took := time.Since(begun); took < slow*time.Second {
				t.Errorf("%d responses were cut off within %v", slow, took)
			}
			for i, isCut := range cut {
				if !isCut() {
					t.Errorf("response %d is complete", i)
				}
			}
		})
	}
}

// TestSilentReader checks that a client of HTTP/2 that receives nothing for 30 seconds ends its request, although it
// permits the server to send, and that the server keeps little of a body that no handler reads.
func TestSilentReader(t *testing.T) {
	config := serverTLS(t)
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, err := io.WriteString(w, strings.Repeat("x", 1<<20))
			failed <- err
		})
		listener := newPipes()
		web := server.NewHTTPServer(server.HTTPConfig{Handler: handler, TLS: config})
		served := make(chan error, 1)
		go func() { served <- web.Serve(listener) }()
		conn := listener.dial(t)
		answered := make(chan struct{})
		c := newHTTP2Client(t, conn, 1<<30)
		go func() {
			defer close(answered)
			settings := await[*http2.SettingsFrame](c)
			if window, ok := settings.Value(http2.SettingInitialWindowSize); !ok || window > 64<<10 {
				t.Errorf("a body may have %d unread bytes, %v", window, ok)
			}
			await[*http2.HeadersFrame](c)
		}()
		c.get("/")
		<-answered
		begun := time.Now()
		if err := <-failed; err == nil {
			t.Error("the response was written")
		}
		if took := time.Since(begun); took < 30*time.Second || took > time.Minute {
			t.Errorf("the request ended after %v", took)
		}
		if err := errors.Join(web.Close(), <-served); err != nil {
			t.Error(err)
		}
	})
}
