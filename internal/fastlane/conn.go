package fastlane

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"
)

const (
	maxRequest = 4 << 10 // with the body; net/http has a buffer of this size for each connection, too
	nextBytes  = 4       // after a response, net/http closes a connection without an error if fewer bytes come
	// renewal is how old deadlines may be when a request comes. A new deadline costs as much as the parser.
	renewal = time.Second
)

// conn is a connection in the lane. Only the goroutine of serve uses it.
type conn struct {
	net.Conn
	listener *Listener
	template *http.Request // the same in all requests of the connection
	buffer   []byte
	in       []byte // the bytes in buffer that are not used yet
	answered bool   // whether the lane has answered a request
	renewed  time.Time
}

// serve answers requests until one is for net/http, or the connection ends.
func (l *Listener) serve(inner net.Conn, base context.Context) {
	ctx, cancel := context.WithCancel(context.WithValue(base, http.LocalAddrContextKey, inner.LocalAddr()))
	defer cancel()
	defer l.release(inner)
	template := &http.Request{Method: http.MethodPost, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	template.RemoteAddr = inner.RemoteAddr().String()
	c := &conn{Conn: inner, listener: l, template: template.WithContext(ctx), buffer: make([]byte, maxRequest)}
	_ = c.SetReadDeadline(time.Now().Add(l.server.ReadHeaderTimeout))
	for !l.stopping.Load() && c.fill() {
		r, size := c.parse()
		if r == nil {
			l.release(inner)
			_ = c.SetDeadline(time.Time{})
			select {
			case l.handed <- &handed{Conn: inner, rest: c.in}:
				return
			case <-l.closed: // net/http, too, closes a connection whose request comes now
			}
			break
		}
		c.in = c.in[size:]
		l.server.ConnState(inner, http.StateActive)
		if !c.answer(r) {
			break
		}
		c.answered = true
		l.server.ConnState(inner, http.StateIdle)
	}
	_ = c.Close()
}

// fill reads bytes of the next request, if there are none, and reports whether there are any. Like net/http, it skips
// line breaks after a request with a response, because some clients send them after the body.
func (c *conn) fill() bool {
	want := 1
	if c.answered {
		want = nextBytes
	}
	for len(c.in) < want {
		c.in = c.buffer[:copy(c.buffer, c.in)]
		n, err := c.Read(c.buffer[len(c.in):])
		c.in = c.buffer[:len(c.in)+n]
		if err != nil && len(c.in) < want {
			return false
		}
	}
	if c.answered {
		breaks := nextBytes - len(bytes.TrimLeft(c.in[:nextBytes], "\r\n"))
		c.in = c.in[breaks:]
	}
	return true
}

// answer calls the handler, and reports whether the connection may stay open.
func (c *conn) answer(r *request) (open bool) {
	if now := time.Now(); now.Sub(c.renewed) > renewal {
		c.renewed = now
		_ = c.SetReadDeadline(now.Add(c.listener.server.IdleTimeout))
		_ = c.SetWriteDeadline(now.Add(c.listener.server.WriteTimeout))
	}
	defer func() {
		if cause := recover(); cause != nil {
			open = false
			if cause != http.ErrAbortHandler {
				log := c.listener.server.ErrorLog
				log.Printf("panic serving %s: %v\n%s", c.template.RemoteAddr, cause, debug.Stack())
			}
		}
	}()
	w := responses.Get().(*response)
	c.listener.server.Handler.ServeHTTP(w, &r.http)
	r.body.closed = true
	stopping := c.listener.stopping.Load()
	w.finish(stopping)
	_, err := c.Write(w.out.Bytes())
	open = err == nil && !stopping && !w.closes
	w.free()
	runtime.Gosched() // the next request may come meanwhile, and then fill need not wait for it in the poller
	return open
}
