package push_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/password"
	"github.com/pawlauth/pawl/internal/push"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/test/apicheck"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/testbin"
	"github.com/pawlauth/pawl/internal/test/testlog"
)

// timing is short where the tests wait.
var timing = push.Timing{
	Poll: 5 * time.Millisecond, LeaseLife: 15 * time.Second, PostTimeout: 5 * time.Second,
	MinBackoff: 5 * time.Millisecond,
}

const headerValue = "Bearer 5b1c-secret"

// site has what all nodes on one state share. SQLite permits one node at a time.
type site struct {
	config   app.Config
	adminKey string
}

// newSite returns a site on an empty store.
func newSite(t *testing.T, address string) *site {
	t.Helper()
	store, err := app.ParseStoreAddress(address)
	if err != nil {
		t.Fatal(err)
	}
	box, err := seal.NewBox(seal.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	return &site{config: app.Config{
		Store: store, MasterKey: box, Algorithm: "ES256", PrivateReceivers: true, PushTiming: timing,
		Argon2: password.Params{MemoryKiB: 64, Passes: 1},
	}}
}

// TestPush runs each test on both stores, and those of many nodes on PostgreSQL.
func TestPush(t *testing.T) {
	cluster := pgtest.Start(t)
	each := map[string]func(*testing.T, *site){
		"Delivery": testDelivery, "Down": testReceiverDown, "Rejected": testRejected, "Hostile": testHostileReceiver,
		"Removal": testRemoval, "Drain": testDrain,
	}
	for name, test := range each {
		t.Run(name, func(t *testing.T) {
			t.Run("sqlite", func(t *testing.T) { test(t, newSite(t, "sqlite:"+t.TempDir())) })
			t.Run("postgres", func(t *testing.T) { test(t, newSite(t, cluster.DSN(cluster.Database(t)))) })
		})
	}
	t.Run("TwoNodes", func(t *testing.T) { testTwoNodes(t, newSite(t, cluster.DSN(cluster.Database(t)))) })
}

// node is a running server with a client of the administrator.
type node struct {
	*client.Client
	t    *testing.T
	url  string
	stop func()
}

const userID = 4821

// start starts a node. The first one adds a user and an administrator.
func (s *site) start(t *testing.T) node {
	t.Helper()
	config := s.config
	config.Log = testlog.New(t, "a node")
	a, err := app.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	if s.adminKey == "" {
		add := func(id int64, login string, level authority.Level) string {
			_, key, err := a.Authority.Bootstrap(t.Context(), authority.User{
				ID: id, Login: login, Email: login, Level: level, Status: authority.Active,
			}, login)
			if err != nil {
				t.Fatal(err)
			}
			return key
		}
		add(userID, "user@example.com", authority.MailboxUser)
		s.adminKey = add(userID+1, "admin@example.com", authority.Root)
	}
	web := httptest.NewServer(apicheck.Handler(t)(a.Handler))
	stop := sync.OnceFunc(func() {
		web.Close()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return node{Client: testbin.Client(t, web.URL, client.WithAPIKey(s.adminKey)), t: t, url: web.URL, stop: stop}
}

// add adds a receiver with a header.
func (n node) add(url string) api.Receiver {
	n.t.Helper()
	request := api.AddReceiverRequest{URL: url, Audience: "app", Authorization: headerValue}
	r, err := n.AddReceiver(n.t.Context(), request)
	if err != nil {
		n.t.Fatal(err)
	}
	return r
}

// signOut signs the user in and out, and returns the id of the session.
func (n node) signOut() string {
	n.t.Helper()
	user, id := n.signIn()
	if err := user.Logout(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	return id
}

// signIn opens a session, and returns a client of it and its id.
func (n node) signIn() (*client.Client, string) {
	n.t.Helper()
	token, err := testbin.Client(n.t, n.url).Login(n.t.Context(), "user@example.com", "user@example.com")
	if err != nil {
		n.t.Fatal(err)
	}
	var claims struct {
		Sid string `json:"sid"`
	}
	parsed, err := jwt.ParseSigned(token.Token, []jose.SignatureAlgorithm{jose.ES256, jose.HS256})
	if err == nil {
		err = parsed.UnsafeClaimsWithoutVerification(&claims)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return testbin.Client(n.t, n.url, client.WithBearer(token.Token)), claims.Sid
}

// await reads the only receiver until a condition is true.
func (n node) await(what string, condition func(api.Receiver) bool) api.Receiver {
	n.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		all, err := n.Receivers(n.t.Context())
		if err != nil {
			n.t.Fatal(err)
		}
		if len(all) > 0 && condition(all[0]) {
			return all[0]
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("timeout while waiting for %s: %+v", what, all)
		}
	}
}

type subject struct {
	Format  string `json:"format"`
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
	ID      string `json:"id"`
}

// set has the claims of a token.
type set struct {
	jwt.Claims
	Subject struct {
		subject
		User    *subject `json:"user"`
		Session *subject `json:"session"`
	} `json:"sub_id"`
	Events map[string]map[string]any `json:"events"`
}

// inbox is a receiver. It answers with the handler, and keeps the tokens that it has answered with 202.
type inbox struct {
	*httptest.Server
	mu      sync.Mutex // guards the fields below
	handler http.HandlerFunc
	texts   []string
	problem string // a request of a wrong form
	atOnce  int
}

func newInbox(t *testing.T, handler http.HandlerFunc) *inbox {
	in := &inbox{handler: handler}
	in.Server = httptest.NewServer(http.HandlerFunc(in.serve))
	t.Cleanup(func() {
		in.CloseClientConnections()
		in.Close()
		if in.problem != "" {
			t.Error(in.problem)
		}
	})
	return in
}

// answer replaces the handler. nil answers 202.
func (in *inbox) answer(handler http.HandlerFunc) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.handler = handler
}

func (in *inbox) serve(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	in.mu.Lock()
	if err != nil || r.Method != "POST" || r.Header.Get("Content-Type") != "application/secevent+jwt" ||
		r.Header.Get("Authorization") != headerValue {
		in.problem = fmt.Sprintf("%s, %v, %v", r.Method, r.Header, err)
	}
	handler := in.handler
	if handler == nil {
		in.texts = append(in.texts, string(text))
		in.atOnce++
		if in.atOnce > 1 {
			in.problem = "two deliveries at a time"
		}
	}
	in.mu.Unlock()
	if handler != nil {
		handler(w, r)
		return
	}
	runtime.Gosched() // so that another delivery can begin
	in.mu.Lock()
	in.atOnce--
	in.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

// tokens verifies the accepted tokens with the public keys of a server, and returns their claims.
func (in *inbox) tokens(n node) []set {
	n.t.Helper()
	response, err := http.Get(n.url + "/.well-known/jwks.json")
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(response.Body).Decode(&keys); err != nil {
		n.t.Fatal(err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	all := make([]set, len(in.texts))
	for i, text := range in.texts {
		parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
		if err == nil {
			err = parsed.Claims(&keys, &all[i])
		}
		if err == nil && parsed.Headers[0].ExtraHeaders[jose.HeaderType] != "secevent+jwt" {
			err = fmt.Errorf("header %+v", parsed.Headers[0])
		}
		if err == nil {
			err = all[i].Validate(jwt.Expected{Issuer: "pawl", AnyAudience: jwt.Audience{"app"}})
		}
		if err != nil {
			n.t.Fatalf("%s: %v", text, err)
		}
	}
	return all
}

// sessions returns the sessions of the accepted tokens in their order, without those of a repeated delivery.
func (in *inbox) sessions(n node) (ids []string) {
	seen := map[string]bool{}
	for _, token := range in.tokens(n) {
		if !seen[token.ID] {
			seen[token.ID] = true
			id := "all of " + token.Subject.Subject
			if token.Subject.Session != nil {
				id = token.Subject.Session.ID
			}
			ids = append(ids, id)
		}
	}
	return ids
}

// awaitSessions waits until the receiver has accepted the ends of these sessions, in this order.
func (in *inbox) awaitSessions(n node, want ...string) {
	n.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got := in.sessions(n)
		if slices.Equal(got, want) {
			return
		}
		if len(got) > len(want) || time.Now().After(deadline) {
			n.t.Fatalf("the receiver has %q, want %q", got, want)
		}
	}
}

func reject(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// testDelivery ends sessions in each way. The receiver gets each end once, in order, and nothing else.
func testDelivery(t *testing.T, s *site) {
	n, in := s.start(t), newInbox(t, nil)
	n.signOut() // before the receiver
	n.add(in.URL)
	first := n.signOut()
	user, kept := n.signIn()
	if _, err := user.EndOwnSessions(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	err := n.EndSession(t.Context(), kept)
	if err == nil {
		_, err = n.UpdateUser(t.Context(), api.UpdateUserRequest{UserID: userID, Status: new(api.StatusSuspended)})
	}
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprint("all of ", userID)
	in.awaitSessions(n, first, all, kept, all)
	tokens := in.tokens(n)
	const event = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
	for i, who := range []string{"user", "user", "admin", "admin"} {
		got := tokens[i].Events[event]
		if got["initiating_entity"] != who || len(tokens[i].Events) != 1 || tokens[i].IssuedAt == nil {
			t.Errorf("token %d: %+v, want one by %s", i, tokens[i], who)
		}
	}
	if u := tokens[0].Subject.User; u == nil || u.Subject != fmt.Sprint(userID) || u.Issuer != "pawl" {
		t.Errorf("the user of a session is %+v", u)
	}
	if got := tokens[1].Events[event]["pawl_kept_session"]; got != kept {
		t.Errorf("the kept session is %v, want %s", got, kept)
	}
	asBearer := testbin.Client(t, n.url, client.WithBearer(in.texts[0]))
	if _, err := asBearer.Session(t.Context()); !errors.Is(err, client.ErrInvalidSession) {
		t.Errorf("a pushed token as a bearer: %v", err)
	}
	r := n.await("4 deliveries", func(r api.Receiver) bool { return r.Delivered == 4 })
	if r.Failures != 0 || r.Rejected != 0 || r.LastError != "" || r.LastDelivered == nil || !r.Authorization {
		t.Errorf("receiver %+v", r)
	}
}

// testReceiverDown lets a receiver fail in several ways, and restarts the server meanwhile. No event is lost, and the
// order is kept.
func testReceiverDown(t *testing.T, s *site) {
	n := s.start(t)
	in := newInbox(t, reject(http.StatusServiceUnavailable, ""))
	n.add(in.URL)
	want := []string{n.signOut(), n.signOut()}
	r := n.await("two failures", func(r api.Receiver) bool { return r.Failures >= 2 })
	if r.LastError != "the receiver answered 503 instead of 202" || r.PendingSince == nil || r.Delivered != 0 {
		t.Errorf("receiver %+v", r)
	}
	in.answer(reject(http.StatusBadRequest, `{"err":"invalid_key","description":"unknown \u001b[31m`+headerValue+`"}`))
	r = n.await("the rejection", func(r api.Receiver) bool { return strings.Contains(r.LastError, "invalid_key") })
	if r.LastError != "the receiver answered 400 invalid_key: unknown  [31m[authorization]" || r.Rejected != 0 {
		t.Errorf("receiver %+v", r)
	}
	n.stop()
	n = s.start(t)
	want = append(want, n.signOut())
	in.answer(nil)
	in.awaitSessions(n, want...)
	n.await("3 deliveries", func(r api.Receiver) bool { return r.Delivered == 3 && r.Failures == 0 })
}

// testRejected lets a receiver reject a token permanently. The next one is delivered, and the list shows the rejection.
func testRejected(t *testing.T, s *site) {
	n := s.start(t)
	in := newInbox(t, reject(http.StatusBadRequest, `{"err":"invalid_request","description":"no such event"}`))
	r := n.add(in.URL)
	n.signOut()
	n.await("the rejection", func(r api.Receiver) bool { return r.Rejected == 1 })
	test, err := n.TestReceiver(t.Context(), r.ReceiverID)
	if err != nil || test.Accepted || test.Status != 400 || !strings.Contains(test.Problem, "no such event") {
		t.Errorf("test %+v, %v", test, err)
	}
	in.answer(nil)
	id := n.signOut()
	in.awaitSessions(n, id)
	r = n.await("the delivery", func(r api.Receiver) bool { return r.Delivered == 1 })
	if r.Rejected != 1 || r.Failures != 0 || r.LastErrorAt == nil ||
		r.LastError != "the receiver answered 400 invalid_request: no such event" {
		t.Errorf("receiver %+v", r)
	}
	if test, err = n.TestReceiver(t.Context(), r.ReceiverID); err != nil || !test.Accepted || test.Problem != "" {
		t.Errorf("test %+v, %v", test, err)
	}
}

// endless writes until the client disconnects.
func endless(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		_, _ = io.WriteString(w, strings.Repeat("a", 1<<10))
		w.(http.Flusher).Flush()
	}
}

// testHostileReceiver checks that a receiver that never answers, answers without an end, or redirects, delays only its
// own tokens, and none of them is lost.
func testHostileReceiver(t *testing.T, s *site) {
	s.config.PushTiming.PostTimeout = time.Second // the test waits for it
	n := s.start(t)
	in, other := newInbox(t, nil), newInbox(t, nil)
	n.add(in.URL)
	n.add(other.URL)
	var want []string
	for name, hostile := range map[string]struct {
		handler http.HandlerFunc
		problem string
	}{
		"silence": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "did not answer in time"},
		"endless rejection": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			endless(w, r)
		}, "400 without an error code"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, "redirects are not followed"},
		"metadata": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
		}, "redirects are not followed"},
		"long header": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("a", 1<<20))
			w.WriteHeader(http.StatusAccepted)
		}, "response headers exceeded"},
	} {
		in.answer(hostile.handler)
		want = append(want, n.signOut())
		n.await(name, func(r api.Receiver) bool {
			return r.Failures > 0 && strings.Contains(r.LastError, hostile.problem)
		})
		other.awaitSessions(n, want...)
		in.answer(nil)
		in.awaitSessions(n, want...)
	}
	in.answer(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		endless(w, r)
	})
	n.signOut()
	n.await("the acceptance with an endless body", func(r api.Receiver) bool {
		return r.Delivered == int64(len(want)+1)
	})
}

// testRemoval removes a receiver during a delivery. The delivery is cut off, and no other one begins.
func testRemoval(t *testing.T, s *site) {
	s.config.PushTiming.PostTimeout = time.Minute // so that only the removal ends the delivery
	s.config.PushTiming.LeaseLife = 3 * time.Minute
	n := s.start(t)
	begun, ended := make(chan struct{}), make(chan struct{})
	in := newInbox(t, func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(ended)
	})
	r := n.add(in.URL)
	n.signOut()
	<-begun
	if err := n.RemoveReceiver(t.Context(), r.ReceiverID); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the delivery continues")
	}
	in.answer(nil)
	if err := n.RemoveReceiver(t.Context(), r.ReceiverID); !errors.Is(err, client.ErrObjectNotFound) {
		t.Errorf("the second removal: %v", err)
	}
	later := newInbox(t, nil)
	n.add(later.URL)
	later.awaitSessions(n, n.signOut())
	if got := in.sessions(n); len(got) != 0 {
		t.Errorf("the removed receiver got %q", got)
	}
	events, err := n.Audit(t.Context(), api.AuditRequest{Kind: api.EventReceiverRemoved})
	if err != nil || len(events) != 1 || events[0].Detail != "receiver "+r.ReceiverID {
		t.Errorf("the audit has %+v, %v", events, err)
	}
}

// testDrain stops a node during a delivery. The delivery is completed, so that the next node does not repeat it.
func testDrain(t *testing.T, s *site) {
	s.config.PushTiming.PostTimeout = 10 * time.Second
	s.config.PushTiming.LeaseLife = time.Minute // the next node has to wait for it, unless the first one gives it back
	n := s.start(t)
	begun, proceed := make(chan struct{}), make(chan struct{})
	in := newInbox(t, func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-proceed
		w.WriteHeader(http.StatusAccepted)
	})
	n.add(in.URL)
	n.signOut()
	<-begun
	in.answer(nil)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		n.stop()
	}()
	for err := error(nil); err == nil; _, err = n.Version(t.Context()) { // until the node stops
	}
	close(proceed)
	<-stopped
	n = s.start(t)
	in.awaitSessions(n, n.signOut())
	n.await("the second delivery", func(r api.Receiver) bool { return r.Delivered == 2 && r.Failures == 0 })
}

// testTwoNodes lets two nodes share a database. One of them delivers at a time (newInbox checks it), each event once,
// and the other one continues when it stops.
func testTwoNodes(t *testing.T, s *site) {
	first, in := s.start(t), newInbox(t, nil)
	first.add(in.URL)
	second := s.start(t)
	var want []string
	for range 10 {
		want = append(want, first.signOut(), second.signOut())
	}
	in.awaitSessions(first, want...)
	second.await("20 deliveries", func(r api.Receiver) bool { return r.Delivered == 20 })
	first.stop()
	want = append(want, second.signOut())
	in.awaitSessions(second, want...)
	if n := len(in.tokens(second)); n != len(want) {
		t.Errorf("%d deliveries of %d events", n, len(want))
	}
}

// TestRefused checks the receivers that cannot be added, and an address that is not connected to.
func TestRefused(t *testing.T) {
	s := newSite(t, "sqlite:"+t.TempDir())
	s.config.MasterKey = nil
	s.config.Algorithm = "HS256"
	s.config.PrivateReceivers = false
	n := s.start(t)
	refused := func(r api.AddReceiverRequest, want string) {
		t.Helper()
		if _, err := n.AddReceiver(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", r, err, want)
		}
	}
	const url = "https://127.0.0.1:1/events"
	refused(api.AddReceiverRequest{URL: url}, "every signing key is of HS256")
	n.stop()
	s.config.Algorithm = "ES256" // the new key is published, and signs tokens a day later
	n = s.start(t)
	for text, want := range map[string]string{
		"":                                     "must be an address",
		"http://127.0.0.1:1/":                  "needs the setting private-receivers",
		"http://example.com/":                  "must begin with https://",
		"ftp://example.com/":                   "must begin with https://",
		"https://u:p@example.com/":             "must have no password",
		"https://example.com/#a":               "must be an address",
		"https:example.com":                    "must be an address",
		"https://" + strings.Repeat("a", 3000): "at most 2048 bytes",
	} {
		refused(api.AddReceiverRequest{URL: text}, want)
	}
	refused(api.AddReceiverRequest{URL: url, Audience: "a\nb"}, "audience must have")
	refused(api.AddReceiverRequest{URL: url, Authorization: "a\nb"}, "authorization must be the value of a header")
	refused(api.AddReceiverRequest{URL: url, Authorization: "Bearer a"}, "needs a master key")
	r, err := n.AddReceiver(t.Context(), api.AddReceiverRequest{URL: url})
	if err != nil || r.Audience != url {
		t.Fatalf("%+v, %v", r, err)
	}
	refused(api.AddReceiverRequest{URL: url}, "has a receiver already")
	test, err := n.TestReceiver(t.Context(), r.ReceiverID)
	if err != nil || test.Accepted || !strings.Contains(test.Problem, "the address of the receiver is private") {
		t.Errorf("test %+v, %v", test, err)
	}
	user, _ := n.signIn()
	if _, err := user.Receivers(t.Context()); !errors.Is(err, client.ErrAccessDenied) {
		t.Errorf("the list for a user: %v", err)
	}
}
