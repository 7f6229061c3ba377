package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/pawlauth/pawl/api"
)

// target is the parsed address of a server.
type target struct {
	address string // host:port
	host    string // the Host header
	path    string // the path before /v2
	tls     bool
}

func parseTarget(text string) (target, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return target{}, errors.New("the address of the server is not a URL; write it like http://127.0.0.1:8080")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return target{
		address: net.JoinHostPort(u.Hostname(), port),
		host:    u.Host,
		path:    strings.TrimRight(u.EscapedPath(), "/"),
		tls:     u.Scheme == "https",
	}, nil
}

// conn is one HTTP/1.1 connection. It replaces the client of net/http, because that client would use more CPU time than
// the measured server on the same machine.
type conn struct {
	net.Conn
	in    *bufio.Reader
	out   []byte            // buffer for the request
	heads [callCount]string // the beginning of each call's request
}

// maxAnswer is the largest number of bytes of an answer's body.
const maxAnswer = 8 << 10

// dial opens a connection. The API key may be empty.
func (l *Load) dial(ctx context.Context, apiKey string) (*conn, error) {
	var raw net.Conn
	var err error
	dialer := net.Dialer{Timeout: grace}
	if l.target.tls {
		raw, err = (&tls.Dialer{NetDialer: &dialer}).DialContext(ctx, "tcp", l.target.address)
	} else {
		raw, err = dialer.DialContext(ctx, "tcp", l.target.address)
	}
	if err != nil {
		return nil, fmt.Errorf("the server is unreachable: %w; is it running?", err)
	}
	c := &conn{Conn: raw, in: bufio.NewReaderSize(raw, maxAnswer)}
	c.heads[Refresh] = l.target.head("/v2/auth/refresh")
	c.heads[Session] = l.target.head("/v2/auth/session") + "Content-Length: 0\r\nAuthorization: Bearer "
	c.heads[RefreshWithKey] = c.heads[Refresh] + "X-API-Key: " + apiKey + "\r\n"
	c.heads[Introspect] = l.target.head("/oauth2/introspect") + "X-API-Key: " + apiKey + "\r\n"
	return c, nil
}

func (t target) head(path string) string {
	return "POST " + t.path + path + " HTTP/1.1\r\nHost: " + t.host + "\r\n"
}

// exchange sends one call with a token and returns the answer. The answer is valid until the next exchange.
func (c *conn) exchange(call Call, token []byte) (answer, error) {
	c.out = append(c.out[:0], c.heads[call]...)
	switch call {
	case Session:
		c.out = append(append(c.out, token...), "\r\n\r\n"...)
	case Introspect:
		c.appendBody("application/x-www-form-urlencoded", "token=", token, "")
	default:
		c.appendBody("application/json", `{"token":"`, token, `"}`)
	}
	return c.send(call.rotates())
}

// send sends the request in c.out. If needsToken is set, a success must carry a token.
func (c *conn) send(needsToken bool) (answer, error) {
	if _, err := c.Write(c.out); err != nil {
		return answer{}, lost(err)
	}
	got, err := c.read()
	if err == nil && needsToken && got.code == "" && len(got.token) == 0 {
		return answer{}, errAnswer
	}
	return got, err
}

func (c *conn) appendBody(contentType, before string, text []byte, after string) {
	c.out = append(append(c.out, "Content-Type: "...), contentType...)
	c.out = append(c.out, "\r\nContent-Length: "...)
	c.out = strconv.AppendInt(c.out, int64(len(before)+len(text)+len(after)), 10)
	c.out = append(c.out, "\r\n\r\n"...)
	c.out = append(append(append(c.out, before...), text...), after...)
}

// login signs in over a new connection. The answer to a success carries the token.
func (l *Load) login(ctx context.Context, r api.LoginRequest) (answer, error) {
	c, err := l.dial(ctx, "")
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
	c.appendBody("application/json", "", body, "")
	return c.send(true)
}

// answer is a parsed response.
type answer struct {
	status  int
	token   []byte // optional; only a success has one
	code    string // the errorCode; "" for a success
	message string
}

var errAnswer = errors.New("the response does not come from Pawl; check the address")

// read reads one response: the status line, the headers, and a body of known length.
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
	_, _ = c.in.Discard(length) // cannot fail, because the buffer has the body
	return parseAnswer(status, body)
}

// readHeaders reads the headers and returns the length of the body.
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
	if length < 0 || length > maxAnswer {
		return 0, errAnswer
	}
	return length, nil
}

func lost(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the server closed the connection")
	}
	return fmt.Errorf("no response: %w", err)
}

var (
	successPrefix = []byte(`{"success":true,"data":`)
	tokenPrefix   = []byte(`{"token":"`)
	activePrefix  = []byte(`{"active":true,`)
)

// parseAnswer parses the envelope, or the answer to an introspection. It parses a success by the fixed order of its
// members (docs/api.md), because a JSON parser would take CPU time from the server. It parses other answers as JSON.
func parseAnswer(status int, body []byte) (answer, error) {
	rest, ok := bytes.CutPrefix(body, successPrefix)
	if ok && status == http.StatusOK {
		got := answer{status: status}
		if rest, ok := bytes.CutPrefix(rest, tokenPrefix); ok {
			end := bytes.IndexByte(rest, '"')
			if end <= 0 {
				return answer{}, errAnswer
			}
			got.token = rest[:end]
		}
		return got, nil
	}
	if bytes.HasPrefix(body, activePrefix) && status == http.StatusOK {
		return answer{status: status}, nil
	}
	var refusal struct {
		Active *bool // of an introspection
		api.OAuthError
	}
	if err := json.Unmarshal(body, &refusal); err == nil && (refusal.Active != nil || refusal.Code != "") {
		return answer{status: status, code: cmp.Or(refusal.Code, "inactive"), message: refusal.Description}, nil
	}
	var envelope api.Envelope[json.RawMessage]
	if err := json.Unmarshal(body, &envelope); err != nil || envelope.Success || envelope.ErrorCode == "" {
		return answer{}, errAnswer
	}
	return answer{status: status, code: string(envelope.ErrorCode), message: envelope.Message}, nil
}
