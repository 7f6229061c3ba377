package server_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/pawltest"
)

// runFeedClock gives the feed of a server a clock that runs ahead of that of pawltest. The latter stands still, and a
// feed begins a new epoch after its clock has stood still for more than a second, because the clock was set back then.
func runFeedClock(c *app.Config) {
	c.NewFeed = func(config revocation.FeedConfig) *revocation.Feed {
		standing, began := config.Clock, time.Now()
		config.Clock = func() time.Time { return standing().Add(time.Since(began)) }
		return revocation.NewFeed(config)
	}
}

// stream is a follower of the feed of a server.
type stream struct {
	testing.TB
	*revocation.Decoder
	response *http.Response
	last     string // the id of the last event
}

// follow begins to follow the feed.
func (b *browser) follow(headers ...string) *stream {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), "GET", b.URL+"/v2/revocations", nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { resp.Body.Close() })
	if media := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || media != "text/event-stream" {
		b.Fatalf("the feed answered %d with %s", resp.StatusCode, media)
	}
	return &stream{TB: b, Decoder: revocation.NewDecoder(resp.Body), response: resp}
}

// read returns the next event with a name. It fails if another one than a beat comes first.
func (s *stream) read(name string) revocation.Event {
	s.Helper()
	for {
		e, err := s.Next()
		if err != nil {
			s.Fatalf("waiting for a %s: %v", name, err)
		}
		s.last = e.ID
		if e.Name == name {
			return e
		}
		if e.Name != revocation.BeatEvent {
			s.Fatalf("got %+v, want a %s", e, name)
		}
	}
}

// wantEnd reads until the stream ends, and checks the reason.
func (s *stream) wantEnd(reason string) {
	s.Helper()
	for {
		if _, err := s.Next(); err != nil {
			if err != io.EOF || s.Comment() != reason {
				s.Errorf("the stream ended with %v and the comment %q, want %q", err, s.Comment(), reason)
			}
			return
		}
	}
}

// sessionID returns the session of a token.
func sessionID(t testing.TB, text string) token.SessionID {
	t.Helper()
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
	var claims struct{ SID string }
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	id, ok := token.ParseSessionID(claims.SID)
	if err != nil || !ok {
		t.Fatalf("a token without a session: %s, %v", payload, err)
	}
	return id
}

// feedScene is a user with two sessions. Each test of TestFeedEvents has one.
type feedScene struct {
	*browser
	feed       *stream
	login      string
	userID     int64
	key, token string
	other      string // the token of the other session
}

func (b *browser) newFeedScene(feed *stream, n int) *feedScene {
	s := &feedScene{browser: b, feed: feed, login: fmt.Sprintf("u%d@example.com", n)}
	s.key, s.token = b.addUser(s.login, "MailboxUser", 1, 101)
	s.other = b.expect(200, "", "POST", "/v2/auth/login", credentials(s.login, pawltest.Password))
	s.userID = data[api.User](b, "GET", "/v2/users/me", "", bearer(s.token)).UserID
	return s
}

// call makes a call with the body of a format, as the administrator.
func (s *feedScene) call(method, path, format string, a ...any) {
	s.Helper()
	s.expect(200, "", method, path, fmt.Sprintf(format, a...), s.admin())
}

// feedCalls are calls that revoke something. Each returns the changes that the feed must have.
var feedCalls = map[string]func(*feedScene) []revocation.Change{
	"refresh": func(s *feedScene) []revocation.Change {
		s.refresh(200, s.refresh(200, s.token))
		id := sessionID(s, s.token)
		return []revocation.Change{revocation.SessionRotated(id, 2), revocation.SessionRotated(id, 3)}
	},
	"logout": func(s *feedScene) []revocation.Change {
		s.expect(200, "", "POST", "/v2/auth/logout", "", bearer(s.token))
		return []revocation.Change{revocation.SessionEnded(sessionID(s, s.token))}
	},
	"theft": func(s *feedScene) []revocation.Change {
		s.refresh(200, s.token)
		s.feed.read(revocation.RevokedEvent)
		s.Clock.Add(10 * time.Minute)      // later than a race
		s.feed.read(revocation.HelloEvent) // because the clock was set
		s.refresh(401, s.token)
		return []revocation.Change{revocation.SessionEnded(sessionID(s, s.token))}
	},
	"end a session": func(s *feedScene) []revocation.Change {
		id := sessionID(s, s.other)
		s.expect(200, "", "DELETE", "/v2/auth/sessions/"+id.String(), "", bearer(s.token))
		return []revocation.Change{revocation.SessionEnded(id)}
	},
	"revoke a token": func(s *feedScene) []revocation.Change {
		s.send("POST", "/oauth2/revoke", "token="+s.token, s.admin(), "Content-Type: application/x-www-form-urlencoded")
		return []revocation.Change{revocation.SessionEnded(sessionID(s, s.token))}
	},
	"end the other sessions": func(s *feedScene) []revocation.Change {
		s.expect(200, "", "POST", "/v2/auth/sessions/end-all", `{"exceptCurrent":true}`, bearer(s.token))
		return s.userChanged()
	},
	"reset": func(s *feedScene) []revocation.Change {
		s.call("POST", fmt.Sprint("/v2/users/reset/", s.userID), "")
		return s.userChanged()
	},
	"suspend": func(s *feedScene) []revocation.Change {
		s.call("PUT", "/v2/users", `{"userId":%d,"status":"Suspended"}`, s.userID)
		return s.userChanged()
	},
	"terminate": func(s *feedScene) []revocation.Change {
		s.call("DELETE", fmt.Sprint("/v2/users/", s.userID), "")
		return s.userChanged()
	},
	"change the password": func(s *feedScene) []revocation.Change {
		body := fmt.Sprintf(`{"currentPassword":%q,"newPassword":"N3w!password","revokeOtherSessions":true}`,
			pawltest.Password)
		s.expect(200, "", "PUT", "/v2/auth/password", body, bearer(s.token))
		return s.userChanged()
	},
	"demote": func(s *feedScene) []revocation.Change {
		s.call("POST", "/v2/users/role", `{"userId":%d,"authLevel":"TPUser"}`, s.userID)
		return s.userChanged()
	},
	"move": func(s *feedScene) []revocation.Change {
		s.call("POST", "/v2/users/set-network-mailbox", `{"userId":%d,"mailboxId":102}`, s.userID)
		return s.userChanged()
	},
	"external id": func(s *feedScene) []revocation.Change {
		s.call("PUT", "/v2/users", `{"userId":%d,"externalId":"x"}`, s.userID)
		return s.userChanged()
	},
	"cap": func(s *feedScene) []revocation.Change {
		s.Clock.Add(10 * time.Second)      // so that the first session is the one refreshed longest ago
		s.feed.read(revocation.HelloEvent) // because the clock was set
		s.refresh(200, s.other)
		s.expect(200, "", "POST", "/v2/auth/login", credentials(s.login, pawltest.Password))
		s.expect(200, "", "POST", "/v2/auth/login", credentials(s.login, pawltest.Password))
		return []revocation.Change{
			revocation.SessionRotated(sessionID(s, s.other), 2), revocation.SessionEnded(sessionID(s, s.token)),
		}
	},
	"nothing": func(s *feedScene) []revocation.Change {
		s.call("PUT", "/v2/users", `{"userId":%d,"firstName":"N"}`, s.userID)
		s.call("POST", "/v2/users/password", `{"userId":%d,"newPassword":"N3w!password"}`, s.userID)
		s.expect(200, "", "POST", "/v2/auth/session", "", bearer(s.token))
		s.expect(200, "", "POST", "/v2/users/key-generate/"+fmt.Sprint(s.userID), "", s.admin())
		return nil
	},
}

func (s *feedScene) userChanged() []revocation.Change {
	return []revocation.Change{revocation.UserChanged(s.userID, s.Clock.Now().Unix())}
}

// TestFeedEvents makes each kind of call that revokes something, and reads its events from a real stream. A refresh at
// the end shows that there were no other events.
func TestFeedEvents(t *testing.T) {
	began := time.Now()
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Policy.MaxSessionsPerUser = 3 }))
	verify := apiKey(b.createKey(pawltest.AdminID, `"scope":"Verify"`).Key)
	f := b.follow(verify)
	if h := f.response.Header; h.Get("X-Accel-Buffering") != "no" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", h)
	}
	f.read(revocation.HelloEvent)
	n := 0
	for name, call := range feedCalls {
		n++
		_, marker := b.addUser(fmt.Sprintf("marker%d@example.com", n), "MailboxUser", 1, 101)
		last := revocation.SessionRotated(sessionID(b, marker), 2)
		want := call(b.newFeedScene(f, n))
		b.refresh(200, marker)
		var got []revocation.Change
		for !slices.Contains(got, last) {
			got = append(got, f.read(revocation.RevokedEvent).Changes...)
		}
		now := b.Clock.Now().Unix()
		for i, c := range got { // the clock of the feed is ahead by the time since the start of the server
			if ahead := c.Before - now; c.UserID != 0 && ahead > 0 && ahead <= int64(time.Since(began).Seconds())+1 {
				got[i].Before = now
			}
		}
		if want = append(want, last); !slices.Equal(got, want) {
			t.Errorf("%s: the feed has %+v, want %+v", name, got, want)
		}
	}
}

// TestFeedResume comes back with the id of the last event, and gets the later ones without a hello.
func TestFeedResume(t *testing.T) {
	b := start(t)
	f := b.follow(b.admin())
	f.read(revocation.HelloEvent)
	first, second := b.login(), b.login()
	b.refresh(200, first)
	f.read(revocation.RevokedEvent)
	f.response.Body.Close()
	b.refresh(200, second)
	f = b.follow(b.admin(), "Last-Event-ID: "+f.last)
	want := []revocation.Change{revocation.SessionRotated(sessionID(b, second), 2)}
	if got := f.read(revocation.RevokedEvent).Changes; !slices.Equal(got, want) {
		t.Errorf("resumed with %+v, want %+v", got, want)
	}
	b.follow(b.admin(), "Last-Event-ID: E-1").read(revocation.HelloEvent)
}

// TestFeedCallers checks which levels may follow the feed, with each kind of credentials.
func TestFeedCallers(t *testing.T) {
	b := start(t)
	for level, status := range map[string]int{"TechOps": 200, "NetOps": 200, "NetworkAdmin": 403, "MailboxUser": 403} {
		key, token := b.addUser(strings.ToLower(level)+"@example.com", level, 1, 101)
		id := data[api.SessionInfo](b, "POST", "/v2/auth/session", "", bearer(token)).UserID
		verify := data[api.APIKey](b, "POST", "/v2/keys/create",
			fmt.Sprintf(`{"userId":%d,"visibility":"Private","scope":"Verify"}`, id), bearer(token)).Key
		for _, header := range []string{apiKey(key), apiKey(verify), bearer(token)} {
			resp, text := b.send("GET", "/v2/revocations", "", header)
			if resp.StatusCode != status {
				t.Errorf("%s: %d %s, want %d", level, resp.StatusCode, text, status)
			}
		}
	}
	b.expect(401, api.CodeInvalidSession, "GET", "/v2/revocations", "")
	resp, _ := b.send("HEAD", "/v2/revocations", "", b.admin())
	if resp.StatusCode != 200 {
		t.Errorf("HEAD: %d", resp.StatusCode)
	}
}

// TestFeedEnds checks that a stream ends with the credentials of its follower, and with the server.
func TestFeedEnds(t *testing.T) {
	t.Parallel() // because the credentials are checked at intervals
	b := start(t)
	key := b.createKey(pawltest.AdminID, `"scope":"Verify"`)
	_, token := b.addUser("ops@example.com", "NetOps", 1, 101)
	byKey := b.follow(apiKey(key.Key))
	byToken := b.follow(bearer(token))
	stays := b.follow(b.admin())
	b.expect(200, "", "DELETE", "/v2/keys", fmt.Sprintf(`{"keyId":%d}`, key.KeyID), b.admin())
	b.refresh(200, token)
	byKey.wantEnd("the credentials have ended; sign in again")
	byToken.wantEnd("the credentials have ended; sign in again")
	stays.read(revocation.HelloEvent)
	stays.read(revocation.RevokedEvent)
	stays.read(revocation.BeatEvent)
	go b.Close()
	stays.wantEnd("the server is stopping")
}

// TestFeedIsNotInFlight checks that streams do not use up the requests that may be in flight at once.
func TestFeedIsNotInFlight(t *testing.T) {
	b := start(t, pawltest.WithConfig(func(c *app.Config) { c.Limits.MaxInFlight = 2 }))
	for range 5 {
		b.follow(b.admin()).read(revocation.HelloEvent)
	}
	b.refresh(200, b.login())
}
