package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pawlauth/pawl/api"
)

// target is where a server is.
type target struct {
	address string // host:port
	host    string // the Host header
	path    string // before /v2
	tls     bool
}

func parseTarget(text string) (target, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return target{}, errors.New("the address of the server is not a URL; it looks like http://127.0.0.1:8080")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return target{net.JoinHostPort(u.Hostname(), port), u.Host, strings.TrimRight(u.EscapedPath(), "/"), u.Scheme == "https"}, nil
}

// conn is one HTTP/1.1 connection. It is made by hand because net/http's client
// costs more than the server that is measured, and both share a machine.
type conn struct {
	net.Conn
	in    *bufio.Reader
	out   []byte            // the request that is being made
	heads [callCount]string // what each request begins with
}

// largest is how many bytes an answer to a driven call may have.
const largest = 8 << 10

func (l *Load) dial(ctx context.Context) (*conn, error) {
	var raw net.Conn
	var err error
	dialer := net.Dialer{Timeout: grace}
	if l.target.tls {
		raw, err = (&tls.Dialer{NetDialer: &dialer}).DialContext(ctx, "tcp", l.target.address)
	} else {
		raw, err = dialer.DialContext(ctx, "tcp", l.target.address)
	}
	if err != nil {
		return nil, fmt.Errorf("the server cannot be reached: %w; is it running?", err)
	}
	c := &conn{Conn: raw, in: bufio.NewReaderSize(raw, largest)}
	c.heads[Refresh] = l.target.head("/v2/auth/refresh")
	c.heads[Session] = l.target.head("/v2/auth/session") + "Content-Length: 0\r\nAuthorization: Bearer "
	return c, nil
}

func (t target) head(path string) string {
	return "POST " + t.path + path + " HTTP/1.1\r\nHost: " + t.host + "\r\n"
}

// exchange sends one call with a token and reads its answer. What it returns is
// good until the next exchange.
func (c *conn) exchange(call Call, token []byte) (answer, error) {
	c.out = append(c.out[:0], c.heads[call]...)
	if call == Refresh {
		c.appendBody(`{"token":"`, token, `"}`)
	} else {
		c.out = append(append(c.out, token...), "\r\n\r\n"...)
	}
	return c.send(call == Refresh)
}

// send sends the request that was made. A success must carry a token if issues says so.
func (c *conn) send(issues bool) (answer, error) {
	if _, err := c.Write(c.out); err != nil {
		return answer{}, lost(err)
	}
	got, err := c.read()
	if err == nil && issues && got.code == "" && len(got.token) == 0 {
		return answer{}, errAnswer
	}
	return got, err
}

func (c *conn) appendBody(before string, text []byte, after string) {
	c.out = append(c.out, "Content-Type: application/json\r\nContent-Length: "...)
	c.out = strconv.AppendInt(c.out, int64(len(before)+len(text)+len(after)), 10)
	c.out = append(c.out, "\r\n\r\n"...)
	c.out = append(append(append(c.out, before...), text...), after...)
}

// login signs in over a connection of its own, and returns the token.
func (l *Load) login(ctx context.Context, r api.LoginRequest) (answer, error) {
	c, err := l.dial(ctx)
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	body, err := json.Marshal(r)
	if err != nil {
		return answer{}, err
	}
	_ = c.SetDeadline(time.Now().Add(grace))
	c.out = append(c.out[:0], l.target.head("/v2/auth/login")...)
	c.appendBody("", body, "")
	return c.send(true)
}

// answer is what a server said.
type answer struct {
	status  int
	token   []byte // of a success that carries one
	code    string // "" says that it was a success
	message string
}

var errAnswer = errors.New("the answer is not Pawl's; is the address right?")

// read reads one answer: status line, headers, and a body of a known length.
func (c *conn) read() (answer, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return answer{}, lost(err)
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return answer{}, errAnswer
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return answer{}, errAnswer
	}
	length, err := c.readHeaders()
	if err != nil {
		return answer{}, err
	}
	body, err := c.in.Peek(length)
	if err != nil {
		return answer{}, lost(err)
	}
	_, _ = c.in.Discard(length) // it is in the buffer
	return parseAnswer(status, body)
}

// readHeaders passes over the headers and returns the length of the body.
func (c *conn) readHeaders() (int, error) {
	const name = "content-length:"
	length := -1
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return 0, lost(err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err != nil {
				return 0, errAnswer
			}
		}
	}
	if length < 0 || length > largest {
		return 0, errAnswer
	}
	return length, nil
}

func lost(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the server closed the connection")
	}
	return fmt.Errorf("no answer: %w", err)
}

var (
	beginning = []byte(`{"success":true,"data":`)
	tokenName = []byte(`{"token":"`)
)

// parseAnswer reads the envelope: a success by the fixed order of its members
// (docs/api.md), which spares the load a JSON parser, all else with one.
func parseAnswer(status int, body []byte) (answer, error) {
	rest, good := bytes.CutPrefix(body, beginning)
	if good && status == 200 {
		got := answer{status: status}
		if rest, ok := bytes.CutPrefix(rest, tokenName); ok {
			end := bytes.IndexByte(rest, '"')
			if end <= 0 {
				return answer{}, errAnswer
			}
			got.token = rest[:end]
		}
		return got, nil
	}
	var envelope api.Envelope[json.RawMessage]
	if err := json.Unmarshal(body, &envelope); err != nil || envelope.Success || envelope.ErrorCode == "" {
		return answer{}, errAnswer
	}
	return answer{status: status, code: string(envelope.ErrorCode), message: envelope.Message}, nil
}
