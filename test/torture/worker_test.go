package torture_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/pawlauth/pawl/api"
)

// worker makes calls, one after the other, and records them in the history.
type worker struct {
	number  int
	random  *rand.Rand // not shared
	fleet   *fleet
	history *history
	http    *http.Client
}

// request is what a worker sends.
type request struct {
	kind   kind
	user   int64
	login  string
	with   credential
	key    string
	hangUp bool // whether the client disconnects before the response
}

const password = "Tw0&Torture"

// maxHangUp is the longest time before a client disconnects. A response takes about as long.
const maxHangUp = 3 * time.Millisecond

// do makes a call and returns the token and the answer. It repeats a call that no node accepted. ok is false if the
// fleet is closed.
func (w *worker) do(r request) (got credential, outcome answer, ok bool) {
	for {
		l := w.fleet.pick(w.random)
		if l == nil {
			return credential{}, none, false
		}
		c := &call{
			worker: w.number, kind: r.kind, user: r.user, with: r.with.claims, key: r.key, life: l,
			start: w.history.now(),
		}
		status, data, err := w.send(l, r)
		c.end = w.history.now()
		if opening, is := errors.AsType[*net.OpError](err); is && opening.Op == "dial" {
			time.Sleep(time.Millisecond) // the node was just killed; the fleet will remove it
			continue
		}
		got = c.read(status, data, err)
		w.history.add(c)
		return got, c.answer, true
	}
}

// read records the answer in c, and returns the token of a success.
func (c *call) read(status int, data api.Token, err error) (got credential) {
	c.answer = none
	switch {
	case err != nil || status == http.StatusServiceUnavailable:
	case status == http.StatusTooManyRequests && c.kind == login:
		// A kill leaves the attempts in flight counted as failed.
	case status == http.StatusUnauthorized:
		c.answer = rejected
		if c.kind == login || c.kind == reset {
			c.odd = ", although the credentials are valid"
		}
	case status != http.StatusOK:
		c.odd = fmt.Sprintf(" status %d", status)
	default:
		c.answer = done
	}
	if c.answer == done && (c.kind == login || c.kind == refresh) {
		got, err = parse(data.Token)
		if err != nil || got.session == "" || c.kind == refresh && got.session != c.with.session {
			c.odd = fmt.Sprintf(" with a token of another session: %v", err)
		}
		c.got = got.claims
	}
	return got
}

func (w *worker) send(l *life, r request) (status int, data api.Token, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if r.hangUp {
		defer time.AfterFunc(time.Duration(w.random.Int64N(int64(maxHangUp))), cancel).Stop()
	}
	resp, err := w.http.Do(r.http(ctx, l))
	if err != nil {
		return 0, data, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || r.kind != login && r.kind != refresh {
		return resp.StatusCode, data, err
	}
	var envelope api.Envelope[api.Token]
	err = json.Unmarshal(text, &envelope)
	return resp.StatusCode, envelope.Data, err
}

// http returns the request for a node. It has no GetBody, so that net/http does not repeat the request on its own.
func (r request) http(ctx context.Context, l *life) *http.Request {
	path := map[kind]string{
		login:   "/v2/auth/login",
		refresh: "/v2/auth/refresh",
		verify:  "/v2/auth/session",
		logout:  "/v2/auth/logout",
		reset:   fmt.Sprintf("/v2/users/reset/%d", r.user),
	}[r.kind]
	var body any
	header := http.Header{"Content-Type": {"application/json"}}
	switch r.kind {
	case login:
		body = api.LoginRequest{Login: r.login, Password: password}
	case refresh:
		body = api.RefreshRequest{Token: r.with.text}
	case reset:
		header.Set("X-API-Key", l.adminKey)
	default:
		header.Set("Authorization", "Bearer "+r.with.text)
	}
	if r.key != "" {
		header.Set("Idempotency-Key", r.key)
	}
	var text []byte
	if body != nil {
		text, _ = json.Marshal(body) // cannot fail for strings
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url+path, bytes.NewReader(text))
	if err != nil {
		panic(err) // the starter returned an invalid URL
	}
	req.Header, req.GetBody = header, nil
	return req
}
