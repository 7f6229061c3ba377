//go:build linux

package e2e_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

// stopLoad puts load on one server until the server has exited.
type stopLoad struct {
	*stopped
	url      string
	stopping chan struct{} // closed before SIGTERM
	logins   atomic.Int64
	logouts  atomic.Int64
	workers  []func(begun func()) // each calls begun after its first exchange
	full     bool                 // whether requests stay unfinished until the server cuts them off
}

// newLoad returns the load of a round: chains of refreshes in the fast lane, by net/http, and pipelined with checks;
// unfinished requests; idle connections; a follower of the feed; and sign-outs.
func (s *stopped) newLoad(url string, round int) *stopLoad {
	l := &stopLoad{stopped: s, url: url, stopping: make(chan struct{}), full: s.long && round%40 == 5}
	for i, c := range s.chains {
		l.workers = append(l.workers, func(begun func()) { l.refresh(c, refreshForm(i%3), begun) })
	}
	for range 6 {
		cut := s.random.Float64()
		pause := s.upTo(200 * time.Millisecond)
		ends := s.random.IntN(2) == 0
		l.workers = append(l.workers, func(begun func()) { l.sendInParts(cut, pause, ends, begun) })
	}
	for _, request := range []string{"", "", healthRequest, checkRequest("none")} {
		l.workers = append(l.workers, func(begun func()) { l.idle(request, begun) })
	}
	l.workers = append(l.workers, l.follow, l.signOut)
	return l
}

// run starts the workers. Each ends when the server has closed its connection; wait returns then. If whole is set, run
// returns when each worker has begun, else at once.
func (l *stopLoad) run(whole bool) (wait func()) {
	var begun, running sync.WaitGroup
	begun.Add(len(l.workers))
	for _, work := range l.workers {
		done := sync.OnceFunc(begun.Done)
		running.Go(func() {
			defer done()
			work(done)
		})
	}
	if whole {
		begun.Wait()
	}
	return running.Wait
}

// cut reports an error of a connection, unless the server is stopping.
func (l *stopLoad) cut(what string, err error) {
	select {
	case <-l.stopping:
	default:
		l.Errorf("%s: the connection failed before the stop: %v", what, err)
	}
}

// refreshForm is a way to send refreshes.
type refreshForm int

const (
	inLane    refreshForm = iota // as the fast lane takes them
	byNetHTTP                    // on a connection that the fast lane has handed over
	pipelined                    // in the fast lane, with checks in the same packet
)

// pipelinedChecks is how many checks are sent behind a refresh.
const pipelinedChecks = 3

// refresh signs in if the chain has no session, and refreshes its token until the connection fails.
func (l *stopLoad) refresh(c *tokenChain, f refreshForm, begun func()) {
	w, err := dialWire(l.url)
	if err == nil && f == byNetHTTP {
		_, _, err = w.exchange(healthRequest)
	}
	if err != nil {
		l.cut("a refresh", err)
		return
	}
	defer w.Close()
	if c.token == "" && !l.signIn(c, w) {
		return
	}
	checked, checks := "", ""
	if f == pipelined {
		other := new(tokenChain)
		if !l.signIn(other, w) {
			return
		}
		checked, checks = other.token, strings.Repeat(checkRequest(other.token), pipelinedChecks)
	}
	for {
		c.unknown = true
		status, text, err := w.exchange(refreshRequest(c.token) + checks)
		switch {
		case err != nil:
			l.cut("a refresh", err)
			return
		case status == http.StatusServiceUnavailable:
			return
		case status != http.StatusOK:
			l.Errorf("a refresh: %d %s", status, text)
			return
		}
		*c = tokenChain{token: tokenOf(text), superseded: c.token}
		for i := 0; i < pipelinedChecks && checked != ""; i++ {
			if !l.accepts("a pipelined check", w) {
				return
			}
		}
		begun()
	}
}

// signIn opens the session of a chain, and reports whether there is one.
func (l *stopLoad) signIn(c *tokenChain, w *wire) bool {
	if _, err := io.WriteString(w, loginRequest(l.created)); err != nil {
		l.cut("a sign-in", err)
		return false
	}
	status, text, err := w.receive()
	switch {
	case err != nil:
		l.cut("a sign-in", err)
	case status == http.StatusOK:
		l.logins.Add(1)
		*c = tokenChain{token: tokenOf(text)}
		return true
	case status != http.StatusServiceUnavailable:
		l.Errorf("a sign-in: %d %s", status, text)
	}
	return false
}

// signOut signs in and out until the connection fails.
func (l *stopLoad) signOut(begun func()) {
	w, err := dialWire(l.url)
	if err != nil {
		l.cut("a sign-out", err)
		return
	}
	defer w.Close()
	for c := new(tokenChain); l.signIn(c, w); {
		if _, err := io.WriteString(w, logoutRequest(c.token)); err != nil {
			l.cut("a sign-out", err)
			return
		}
		if !l.accepts("a sign-out", w) {
			return
		}
		l.logouts.Add(1)
		begun()
	}
}

// accepts receives a response that must be 200 or 503, and reports whether it is 200.
func (l *stopLoad) accepts(what string, w *wire) bool {
	status, text, err := w.receive()
	switch {
	case err != nil:
		l.cut(what, err)
	case status != http.StatusOK && status != http.StatusServiceUnavailable:
		l.Errorf("%s: %d %s", what, status, text)
	}
	return err == nil && status == http.StatusOK
}

// headerLimit is shorter than the 5 seconds in which a server must have a header. net/http answers later ones with 400.
const headerLimit = 4 * time.Second

// sendInParts sends a part of a sign-in before the stop. After the stop and a pause, it sends the rest, or closes the
// connection.
func (l *stopLoad) sendInParts(cut float64, pause time.Duration, ends bool, begun func()) {
	w, err := dialWire(l.url)
	if err != nil {
		l.cut("a request in parts", err)
		return
	}
	defer w.Close()
	request := loginRequest(l.created)
	at := 1 + int(cut*float64(len(request)-1))
	if _, err := io.WriteString(w, request[:at]); err != nil {
		l.cut("a request in parts", err)
		return
	}
	begun()
	sent := time.Now()
	<-l.stopping
	if l.full {
		_, _ = io.Copy(io.Discard, w) // returns when the server cuts the request off
		return
	}
	time.Sleep(pause)
	if !ends {
		return
	}
	if _, err := io.WriteString(w, request[at:]); err != nil || time.Since(sent) > headerLimit {
		return
	}
	if l.accepts("a request in parts", w) {
		l.logins.Add(1)
	}
}

// idle opens a connection, and sends one request unless it is empty. The server must close the connection.
func (l *stopLoad) idle(request string, begun func()) {
	w, err := dialWire(l.url)
	if err == nil && request != "" {
		_, _, err = w.exchange(request)
	}
	if err != nil {
		l.cut("an idle connection", err)
		return
	}
	defer w.Close()
	begun()
	_, _ = io.Copy(io.Discard, w)
	if request != "" { // without one, the server waits 5 seconds only
		l.cut("an idle connection", io.EOF)
	}
}

// follow follows the feed. The server must end the stream and not cut it off.
func (l *stopLoad) follow(begun func()) {
	request, err := http.NewRequestWithContext(l.Context(), http.MethodGet, l.url+"/v2/revocations", nil)
	if err != nil {
		l.Error(err)
		return
	}
	request.Header.Set("X-API-Key", l.created.APIKey)
	resp, err := new(http.Transport).RoundTrip(request)
	if err != nil {
		l.cut("the feed", err)
		return
	}
	defer resp.Body.Close()
	begun()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		l.Errorf("the feed was cut off: %v", err)
	case resp.StatusCode == http.StatusOK:
		l.cut("the feed", io.EOF)
	case resp.StatusCode != http.StatusServiceUnavailable:
		l.Errorf("the feed: %d %s", resp.StatusCode, text)
	}
}

// wire is a connection on which a test writes requests itself.
type wire struct {
	net.Conn
	responses *bufio.Reader
}

func dialWire(url string) (*wire, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		return nil, err
	}
	return &wire{Conn: conn, responses: bufio.NewReader(conn)}, nil
}

// exchange sends a request, and receives the response.
func (w *wire) exchange(request string) (status int, text []byte, err error) {
	if _, err := io.WriteString(w, request); err != nil {
		return 0, nil, err
	}
	return w.receive()
}

func (w *wire) receive() (status int, text []byte, err error) {
	resp, err := http.ReadResponse(w.responses, nil)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err = io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

const healthRequest = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

func checkRequest(token string) string  { return postAs(token, "/v2/auth/session") }
func logoutRequest(token string) string { return postAs(token, "/v2/auth/logout") }

func postAs(token, path string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nAuthorization: Bearer " + token + "\r\n\r\n"
}

func refreshRequest(token string) string {
	return postJSON("/v2/auth/refresh", map[string]string{"token": token})
}

func loginRequest(user testbin.Created) string {
	return postJSON("/v2/auth/login", map[string]string{"login": user.Login, "password": user.Password})
}

func postJSON(path string, body map[string]string) string {
	text, _ := json.Marshal(body) // never fails for strings
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		path, len(text), text)
}

// tokenOf returns the token in a response, or "".
func tokenOf(text []byte) string {
	var answer api.Envelope[api.Token]
	_ = json.Unmarshal(text, &answer) // the next use of an empty token fails
	return answer.Data.Token
}

// pushReceiver is a receiver of security event tokens. It keeps the ids of the tokens.
type pushReceiver struct {
	*httptest.Server
	hangs atomic.Bool // whether it does not respond

	mu  sync.Mutex // guards ids
	ids map[string]bool
}

func newPushReceiver(t *testing.T) *pushReceiver {
	r := &pushReceiver{ids: map[string]bool{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		text, err := io.ReadAll(request.Body)
		parts := strings.Split(string(text), ".")
		if err != nil || len(parts) != 3 {
			return // the sender has disconnected
		}
		if r.hangs.Load() {
			<-request.Context().Done()
			return
		}
		var claims struct {
			ID string `json:"jti"`
		}
		text, err = base64.RawURLEncoding.DecodeString(parts[1])
		if err == nil {
			err = json.Unmarshal(text, &claims)
		}
		if err != nil {
			t.Errorf("the receiver: %v", err)
		}
		r.mu.Lock()
		r.ids[claims.ID] = true
		r.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(r.Close)
	return r
}

// count returns how many tokens the receiver has accepted. A repeated token counts once.
func (r *pushReceiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids)
}
