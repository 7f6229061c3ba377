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

	verifier *localVerifier
	used     []usedToken // the latest tokens that the verifier has checked, oldest first
}

// request is what a worker sends. It has the token, or the API key, or neither in a call of the Root.
type request struct {
	kind    kind
	user    int64 // as in call
	byAdmin bool
	login   string
	with    credential
	apiKey  apiKey
	value   string
	key     string
	hangUp  bool // whether the client disconnects before the response
}

// apiKey is an API key with its id.
type apiKey struct {
	id   int64
	text string
}

// password is the password of new users.
const password = "Tw0&Torture"

// maxHangUp is the longest time before a client disconnects. A response takes about as long.
const maxHangUp = 3 * time.Millisecond

// result is the outcome of a request.
type result struct {
	credential        // the token of a 200
	made       apiKey // the API key of a 200
	answer
	life *life // the node that had the request
}

// settle waits for a while if the request has no answer, so that few such requests are open at a time. An open request
// may take effect until the node is killed, and the check of a history with many of them takes too long.
func (r result) settle(limit time.Duration) {
	if r.answer != none || r.life == nil {
		return
	}
	select {
	case <-r.life.gone:
	case <-time.After(limit):
	}
}

// do makes a call. It repeats a call that no node accepted. ok is false if the fleet is closed.
func (w *worker) do(r request) (got result, ok bool) {
	for {
		l := w.fleet.pick(w.random)
		if l == nil {
			return result{answer: none}, false
		}
		c := &call{
			worker: w.number, kind: r.kind, user: r.user, byAdmin: r.byAdmin, with: r.with.claims, apiKey: r.apiKey.id,
			value: r.value, key: r.key, life: l, start: w.history.now(),
		}
		status, text, err := w.send(l, r)
		c.end = w.history.now()
		if opening, is := errors.AsType[*net.OpError](err); is && opening.Op == "dial" {
			time.Sleep(time.Millisecond) // the node was just killed; the fleet will remove it
			continue
		}
		c.answer = c.classify(status, err)
		got = result{answer: c.answer, life: l}
		if c.answer == done {
			if err := c.read(text, &got); err != nil {
				c.odd = fmt.Sprintf(" with %q: %v", text, err)
			}
		}
		w.history.add(c)
		if w.fleet.pauseAfterNone > 0 {
			got.settle(w.fleet.pauseAfterNone)
		}
		return got, true
	}
}

// insistLimit is longer than the nodes are ever unavailable, unless they are at fault.
const insistLimit = time.Minute

// insist repeats a request until it is answered. It gives up after insistLimit, so that a run with a fault ends.
func (w *worker) insist(r request) (got result, ok bool) {
	for began := time.Now(); ; got.settle(maxLife / 2) {
		got, ok = w.do(r)
		if !ok || got.answer != none || time.Since(began) > insistLimit {
			return got, ok
		}
	}
}

// classify returns the answer of a response. The history decides whether a 401 or a 403 is right.
func (c *call) classify(status int, err error) answer {
	switch {
	case err != nil || status == http.StatusServiceUnavailable:
		return none
	case status == http.StatusTooManyRequests && c.kind == login:
		return none // former passwords, suspensions and kills leave failed attempts
	case status == http.StatusOK:
		return done
	case status == http.StatusUnauthorized:
		return rejected
	case status == http.StatusForbidden, status == http.StatusNotFound:
		return denied
	}
	c.odd = fmt.Sprintf(" status %d", status)
	return none
}

// read reads the body of a 200.
func (c *call) read(text []byte, got *result) error {
	switch c.kind {
	case login, refresh:
		var body api.Envelope[api.Token]
		err := json.Unmarshal(text, &body)
		if err != nil {
			return err
		}
		got.credential, err = parse(body.Data.Token)
		if err != nil || got.session == "" || c.kind == refresh && got.session != c.with.session {
			return fmt.Errorf("a token of another session: %w", err)
		}
		if got.expires != got.issued+tokenLife {
			return errors.New("a wrong expiry")
		}
		c.got, c.seen = got.claims, &got.view
	case verify, useKey:
		var body api.Envelope[api.SessionInfo]
		if err := json.Unmarshal(text, &body); err != nil {
			return err
		}
		c.seen = &view{level: body.Data.AuthLevel, network: body.Data.NetworkID, mailbox: body.Data.MailboxID}
	case newKey:
		var body api.Envelope[api.APIKey]
		if err := json.Unmarshal(text, &body); err != nil {
			return err
		}
		got.made = apiKey{id: body.Data.KeyID, text: body.Data.Key}
		c.apiKey = body.Data.KeyID
	}
	return nil
}

func (w *worker) send(l *life, r request) (status int, text []byte, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if r.hangUp {
		defer time.AfterFunc(time.Duration(w.random.Int64N(int64(maxHangUp))), cancel).Stop()
	}
	resp, err := w.http.Do(r.http(ctx, l))
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// target returns the method, the path and the body of the request.
func (r request) target() (method, path string, body any) {
	switch r.kind {
	case login:
		return "POST", "/v2/auth/login", api.LoginRequest{Login: r.login, Password: r.value}
	case refresh:
		return "POST", "/v2/auth/refresh", api.RefreshRequest{Token: r.with.text}
	case verify, useKey:
		return "POST", "/v2/auth/session", nil
	case logout:
		return "POST", "/v2/auth/logout", nil
	case reset:
		return "POST", fmt.Sprintf("/v2/users/reset/%d", r.user), nil
	case setStatus:
		return "PUT", "/v2/users", api.UpdateUserRequest{UserID: r.user, Status: new(api.Status(r.value))}
	case setLevel:
		return "POST", "/v2/users/role", api.RoleRequest{UserID: r.user, AuthLevel: api.Level(r.value)}
	case setNetwork:
		body := api.TenantRequest{UserID: r.user, NetworkID: new(number(r.value))}
		return "POST", "/v2/users/set-network-mailbox", body
	case setMailbox:
		body := api.TenantRequest{UserID: r.user, MailboxID: new(number(r.value))}
		return "POST", "/v2/users/set-network-mailbox", body
	case setPassword:
		return "POST", "/v2/users/password", api.SetPasswordRequest{UserID: r.user, NewPassword: r.value}
	case newKey:
		return "POST", "/v2/keys/create", api.CreateAPIKeyRequest{UserID: r.user, Visibility: api.VisibilityPrivate}
	case removeKey:
		return "DELETE", "/v2/keys", api.DeleteAPIKeyRequest{KeyID: r.apiKey.id}
	}
	panic("a request of no kind")
}

// http returns the request for a node. It has no GetBody, so that net/http does not repeat the request on its own.
func (r request) http(ctx context.Context, l *life) *http.Request {
	method, path, body := r.target()
	var text []byte
	if body != nil {
		text, _ = json.Marshal(body) // cannot fail for these types
	}
	req, err := http.NewRequestWithContext(ctx, method, l.url+path, bytes.NewReader(text))
	if err != nil {
		panic(err) // the starter returned an invalid URL
	}
	req.Header, req.GetBody = http.Header{"Content-Type": {"application/json"}}, nil
	switch {
	case r.kind == login || r.kind == refresh:
	case r.with.text != "":
		req.Header.Set("Authorization", "Bearer "+r.with.text)
	case r.kind == removeKey || r.apiKey.text == "":
		req.Header.Set("X-API-Key", l.adminKey)
	default:
		req.Header.Set("X-API-Key", r.apiKey.text)
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	return req
}
