package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/test/pgtest"
	"github.com/pawlauth/pawl/internal/test/wallclock"
	"github.com/pawlauth/pawl/pawltest"
)

const (
	bound     = time.Second
	heartbeat = 200 * time.Millisecond
	// longBound is for tests that count questions, because a verifier asks about each token if the feed stalls for
	// longer than the bound.
	longBound = 10 * time.Second
)

// withClock gives a server a clock that runs. The clock of pawltest stands still, which a feed takes for
// steps back.
func withClock(now func() time.Time) pawltest.Option {
	return pawltest.WithConfig(func(c *app.Config) { c.Clock = now })
}

// verifying is a Pawl, a verifier that reaches it through a proxy, and their clocks.
type verifying struct {
	*testing.T
	pawl     *pawltest.Server
	direct   *client.Client // of the administrator, without the proxy
	proxy    *faultyProxy
	verifier *client.Verifier
	server   wallclock.Clock
	local    wallclock.Clock
}

func newVerifying(
	t *testing.T, algorithm string, config client.VerifierConfig, options ...pawltest.Option,
) *verifying {
	t.Helper()
	v := &verifying{T: t}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%+v", v.verifier.Stats())
		}
	})
	options = append(options, pawltest.WithAlgorithm(algorithm), withClock(v.server.Now))
	v.pawl = pawltest.New(t, options...)
	v.direct = v.pawl.Client(client.WithAPIKey(v.pawl.AdminAPIKey))
	v.proxy = newFaultyProxy(t, v.pawl.URL)
	v.verifier = v.newVerifier(config)
	return v
}

// newVerifier returns a verifier with an API key that may do nothing but verify.
func (v *verifying) newVerifier(config client.VerifierConfig) *client.Verifier {
	v.Helper()
	key, err := v.direct.CreateAPIKey(v.Context(), api.CreateAPIKeyRequest{
		UserID: pawltest.AdminID, Visibility: api.VisibilityPrivate, Scope: api.ScopeVerify,
	})
	if err != nil {
		v.Fatal(err)
	}
	c, err := client.New(v.proxy.url, client.WithAPIKey(key.Key))
	if err != nil {
		v.Fatal(err)
	}
	if config.Clock == nil {
		config.Clock = v.local.Now
	}
	verifier := client.NewVerifier(c, config)
	v.Cleanup(verifier.Close)
	if err := verifier.WaitReady(v.Context()); err != nil {
		v.Fatal(err)
	}
	return verifier
}

func (v *verifying) login() string {
	v.Helper()
	got, err := v.pawl.Client().Login(v.Context(), pawltest.Login, pawltest.Password)
	if err != nil {
		v.Fatal(err)
	}
	return got.Token
}

func (v *verifying) refresh(token string) string {
	v.Helper()
	got, err := v.pawl.Client().Refresh(v.Context(), token)
	if err != nil {
		v.Fatal(err)
	}
	return got.Token
}

// expect fails the test unless the verifier accepts or rejects a token.
func (v *verifying) expect(valid bool, token string) {
	v.Helper()
	got, err := v.verifier.Verify(v.Context(), token)
	v.check(valid, got, err)
}

// awaitVerdict is expect for a short AskTimeout. It repeats the call until Pawl has answered in time.
func (v *verifying) awaitVerdict(valid bool, token string) {
	v.Helper()
	await(v, "Pawl does not answer in time", func() bool {
		got, err := v.verifier.Verify(v.Context(), token)
		if errors.Is(err, client.ErrUnavailable) {
			return false
		}
		v.check(valid, got, err)
		return true
	})
}

// check fails the test unless the verifier has accepted or rejected a token.
func (v *verifying) check(valid bool, got *client.VerifiedToken, err error) {
	v.Helper()
	switch {
	case valid && err != nil:
		v.Errorf("a valid token is rejected: %v", err)
	case valid && (got.UserID != pawltest.UserID || got.SessionID == ""):
		v.Errorf("the caller is %+v", got)
	case !valid && !errors.Is(err, client.ErrInvalidSession):
		v.Errorf("a token that is not valid: %v, want ErrInvalidSession", err)
	}
}

// await calls until f is true.
func await(t testing.TB, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s: %s", what)
		}
	}
}

// longestAcceptance verifies a token every 10 ms, until it has been rejected for so long that knowledge of any age that
// is permitted has passed. It returns how long after died the last accepted call began.
func (v *verifying) longestAcceptance(token string, died time.Time) (longest time.Duration) {
	v.Helper()
	each := time.NewTicker(10 * time.Millisecond)
	defer each.Stop()
	for end := died.Add(bound + 5*heartbeat); ; <-each.C {
		began := time.Now()
		if began.After(end) {
			return longest
		}
		if _, err := v.verifier.Verify(v.Context(), token); err == nil {
			longest = began.Sub(died)
		}
	}
}

// TestVerifierFaults breaks the feed, and then supersedes a token. The verifier must not accept the token for longer
// than its bound and one heartbeat. After the fault, it must decide by itself again.
func TestVerifierFaults(t *testing.T) {
	for name, test := range map[string]struct {
		begin, end func(*verifying)
	}{
		"none":              {func(*verifying) {}, func(*verifying) {}},
		"cut":               {func(v *verifying) { v.proxy.set(cuts) }, func(v *verifying) { v.proxy.set(noFault) }},
		"held":              {func(v *verifying) { v.proxy.set(holds) }, func(v *verifying) { v.proxy.set(noFault) }},
		"server clock +10m": {func(v *verifying) { v.server.Step(10 * time.Minute) }, func(*verifying) {}},
		"server clock -10m": {func(v *verifying) { v.server.Step(-10 * time.Minute) }, func(*verifying) {}},
		"local clock +10m":  {func(v *verifying) { v.local.Step(10 * time.Minute) }, func(*verifying) {}},
		"local clock -10m":  {func(v *verifying) { v.local.Step(-10 * time.Minute) }, func(*verifying) {}},
		"clock set back and held": {
			func(v *verifying) { v.local.Step(-10 * time.Minute); v.proxy.set(holds) },
			func(v *verifying) { v.proxy.set(noFault) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVerifying(t, "ES256", client.VerifierConfig{AskTimeout: 100 * time.Millisecond})
			for range 2 {
				superseded := v.login()
				v.awaitVerdict(true, superseded)
				test.begin(v)
				current := v.refresh(superseded)
				longest := v.longestAcceptance(superseded, time.Now())
				t.Logf("longest acceptance: %s", longest)
				if longest > bound+heartbeat {
					t.Errorf("a superseded token was accepted for %s, want at most %s", longest, bound+heartbeat)
				}
				test.end(v)
				await(t, "the verifier still asks about a token", func() bool {
					before := v.verifier.Stats().Asked
					_, err := v.verifier.Verify(t.Context(), current)
					return err == nil && v.verifier.Stats().Asked == before
				})
				v.awaitVerdict(false, superseded)
			}
		})
	}
}

// askedBy returns how many questions a function caused.
func (v *verifying) askedBy(f func()) uint64 {
	before := v.verifier.Stats().Asked
	f()
	return v.verifier.Stats().Asked - before
}

// TestVerifierAsks checks when a verifier asks Pawl: once about a token from before its hello, and, for a server of
// HS256, once about each token.
func TestVerifierAsks(t *testing.T) {
	for algorithm, want := range map[string]uint64{"ES256": 1, "HS256": 1} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			v := newVerifying(t, algorithm, client.VerifierConfig{Bound: longBound})
			token := v.login()
			if got := v.askedBy(func() { v.expect(true, token); v.expect(true, token) }); got != want {
				t.Errorf("%d questions about a token from before the hello, want %d", got, want)
			}
			next := v.refresh(token)
			await(t, "the change does not arrive", func() bool { return v.verifier.Stats().Changes > 0 })
			if got := v.askedBy(func() { v.expect(false, token); v.expect(false, token) }); got != 0 {
				t.Errorf("%d questions about a superseded token, want none", got)
			}
			v.askedBy(func() { v.expect(true, next) })
			forged := next[:len(next)-5] + "AAAAA"
			v.expect(false, forged)
			v.expect(false, "")
			v.expect(false, strings.Repeat("x", 10_000))
			v.expect(true, next)
		})
	}
}

// TestVerifierForgedHS256 presents a forged token of a live session. Pawl's no must not count against the real one.
func TestVerifierForgedHS256(t *testing.T) {
	v := newVerifying(t, "HS256", client.VerifierConfig{})
	token := v.login()
	v.expect(false, token[:len(token)-5]+"AAAAA")
	v.expect(true, token)
	v.expect(true, token)
}

// TestVerifierRetiredKey retires the signing key at once, as after a leak. The verifier must reject the tokens of the
// key that it has accepted before, and accept those of the new key.
func TestVerifierRetiredKey(t *testing.T) {
	for _, algorithm := range []string{"ES256", "HS256"} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			v := newVerifying(t, algorithm, client.VerifierConfig{})
			token := v.login()
			v.expect(true, token)
			keys, err := v.direct.SigningKeys(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			retire := api.RetireSigningKeyRequest{KeyID: keys[0].KeyID, Now: true}
			if err := v.direct.RetireSigningKey(t.Context(), retire); err != nil {
				t.Fatal(err)
			}
			await(t, "a token of the retired key passes", func() bool {
				_, err := v.verifier.Verify(t.Context(), token)
				return errors.Is(err, client.ErrInvalidSession)
			})
			v.expect(true, v.login())
		})
	}
}

// TestVerifierYoungToken lets tokens become younger than the hello. The verifier must accept them without a question.
func TestVerifierYoungToken(t *testing.T) {
	v := newVerifying(t, "ES256", client.VerifierConfig{Bound: longBound})
	if got := v.verifier.Stats(); got.State != client.VerifierCatchingUp {
		t.Errorf("the state is %q, want %q", got.State, client.VerifierCatchingUp)
	}
	await(t, "the verifier asks about every new token", func() bool {
		token := v.login()
		return v.askedBy(func() { v.expect(true, token) }) == 0
	})
}

// TestVerifierUnreachable cuts Pawl off. A token must pass for AcceptUnreachable, counted, and no longer.
func TestVerifierUnreachable(t *testing.T) {
	const longer = 3 * time.Second
	v := newVerifying(t, "ES256", client.VerifierConfig{
		AcceptUnreachable: longer, AskTimeout: 50 * time.Millisecond,
	})
	token, other := v.login(), v.login()
	v.awaitVerdict(true, token)
	v.awaitVerdict(true, other)
	current := v.refresh(other)
	await(t, "the change does not arrive", func() bool { return v.verifier.Stats().Changes > 0 })
	v.proxy.set(cuts)
	cut := time.Now()
	var last time.Time // the beginning of the last accepted call
	await(t, "the token still passes", func() bool {
		began := time.Now()
		_, err := v.verifier.Verify(t.Context(), token)
		if err == nil {
			last = began
		}
		if _, err := v.verifier.Verify(t.Context(), other); err == nil {
			t.Error("a token that the feed had reported passes")
		}
		return errors.Is(err, client.ErrUnavailable)
	})
	if got := last.Sub(cut); got > bound+longer+heartbeat {
		t.Errorf("the token passed for %s without Pawl, want at most %s", got, bound+longer)
	}
	if got := v.verifier.Stats(); got.AcceptedUnreachable == 0 || got.State != client.VerifierStale {
		t.Errorf("the figures are %+v, want accepted calls, and a stale feed", got)
	}
	v.pawl.Close()
	v.proxy.set(noFault) // after Close, so that the feed does not work again
	if _, err := v.verifier.Verify(t.Context(), current); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("an unknown token: %v, want ErrUnavailable", err)
	}
}

// TestVerifierSlowStart starts a verifier before its server is reachable.
func TestVerifierSlowStart(t *testing.T) {
	v := newVerifying(t, "ES256", client.VerifierConfig{})
	v.proxy.set(cuts)
	c, err := client.New(v.proxy.url, client.WithAPIKey(v.pawl.AdminAPIKey))
	if err != nil {
		t.Fatal(err)
	}
	v.verifier = client.NewVerifier(c, client.VerifierConfig{AskTimeout: 50 * time.Millisecond})
	defer v.verifier.Close()
	token := v.login()
	if _, err := v.verifier.Verify(t.Context(), token); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("before the server is reachable: %v, want ErrUnavailable", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := v.verifier.WaitReady(ctx); err == nil {
		t.Error("WaitReady returns no error")
	}
	v.proxy.set(noFault)
	if err := v.verifier.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "the keys are not read", func() bool {
		_, err := v.verifier.Verify(t.Context(), token)
		return err == nil
	})
}

// TestVerifierLogin checks that WithLogin gives every caller a login, by one question.
func TestVerifierLogin(t *testing.T) {
	v := newVerifying(t, "ES256", client.VerifierConfig{Bound: longBound, WithLogin: true})
	token := v.login()
	for range 3 {
		got, err := v.verifier.Verify(t.Context(), token)
		if err != nil || got.Login != pawltest.Login {
			t.Fatalf("Verify = %+v, %v", got, err)
		}
	}
	if got := v.verifier.Stats().Asked; got != 1 {
		t.Errorf("%d questions, want 1", got)
	}
}

// TestVerifierInMiddleware guards a handler with a Verifier.
func TestVerifierInMiddleware(t *testing.T) {
	v := newVerifying(t, "ES256", client.VerifierConfig{})
	url := guarded(t, v.pawl.Client(), client.MiddlewareConfig{Verifier: v.verifier})
	token := v.login()
	for _, test := range []struct {
		header string
		status int
	}{
		{"Authorization: Bearer " + token, 200},
		{"X-Api-Key: " + v.pawl.APIKey, 200},
		{"Authorization: Bearer " + token + "x", 401},
		{"X-Other: x", 401},
	} {
		if resp, body := ask(t, url, test.header); resp.StatusCode != test.status {
			t.Errorf("%s: %d %s, want %d", test.header, resp.StatusCode, body, test.status)
		}
	}
	v.refresh(token)
	await(t, "the superseded token passes", func() bool {
		resp, _ := ask(t, url, "Authorization: Bearer "+token)
		return resp.StatusCode == 401
	})
}

// onStores runs a test on each store.
func onStores(t *testing.T, test func(*testing.T, ...pawltest.Option)) {
	t.Run("SQLite", func(t *testing.T) { test(t) })
	t.Run("PostgreSQL", func(t *testing.T) {
		cluster := pgtest.Start(t)
		test(t, pawltest.WithPostgres(cluster.DSN(cluster.Database(t))))
	})
}

// TestVerifierClockSetBack supersedes a token, and sets the clock of the server back before any verifier has started. A
// verifier that starts then must not take the token for one that was issued after its start, and must accept the
// current token, although its iat may be more than the permitted skew ahead of the server's clock.
func TestVerifierClockSetBack(t *testing.T) {
	onStores(t, func(t *testing.T, options ...pawltest.Option) {
		v := newVerifying(t, "ES256", client.VerifierConfig{}, options...)
		for _, step := range []time.Duration{-30 * time.Second, -10 * time.Minute} {
			v.verifier.Close()
			superseded := v.login()
			current := v.refresh(superseded)
			v.server.Step(step)
			v.verifier = v.newVerifier(client.VerifierConfig{Bound: longBound})
			v.expect(false, superseded)
			v.expect(true, current)
			if got := v.askedBy(func() { v.expect(true, current) }); got != 0 {
				t.Errorf("%s: %d more questions about a token that was confirmed, want none", step, got)
			}
			next := v.refresh(current)
			v.expect(true, next)
			await(t, "the superseded token passes", func() bool {
				_, err := v.verifier.Verify(t.Context(), current)
				return errors.Is(err, client.ErrInvalidSession)
			})
		}
	})
}

// TestVerifierChanges makes every kind of change that ends tokens. A verifier must reject the token, or see the user as
// Pawl does, without a longer delay than its bound; and it must still accept what stays valid.
func TestVerifierChanges(t *testing.T) { onStores(t, checkChanges) }

// checkChanges is TestVerifierChanges on one store.
func checkChanges(t *testing.T, options ...pawltest.Option) {
	v := newVerifying(t, "ES256", client.VerifierConfig{}, options...)
	admin := v.direct
	newUser := func() (api.User, string) {
		login := fmt.Sprintf("user-%d@example.com", time.Now().UnixNano())
		user, err := admin.CreateUser(t.Context(), api.CreateUserRequest{
			Login: login, Password: pawltest.Password, Email: login,
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.pawl.Client().Login(t.Context(), login, pawltest.Password)
		if err != nil {
			t.Fatal(err)
		}
		return user, got.Token
	}
	suspended := api.StatusSuspended
	for name, change := range map[string]func(user api.User, own *client.Client) error{
		"refresh": func(_ api.User, own *client.Client) error { return nil }, // below, because it needs the token
		"logout":  func(_ api.User, own *client.Client) error { return own.Logout(t.Context()) },
		"end all": func(_ api.User, own *client.Client) error {
			_, err := own.EndOwnSessions(t.Context(), false)
			return err
		},
		"reset": func(u api.User, _ *client.Client) error { return admin.ResetUser(t.Context(), u.UserID) },
		"suspend": func(u api.User, _ *client.Client) error {
			_, err := admin.UpdateUser(t.Context(), api.UpdateUserRequest{UserID: u.UserID, Status: &suspended})
			return err
		},
		"terminate": func(u api.User, _ *client.Client) error { return admin.TerminateUser(t.Context(), u.UserID) },
	} {
		t.Run(name, func(t *testing.T) {
			user, token := newUser()
			_, bystander := newUser()
			for _, valid := range []string{token, bystander} {
				if _, err := v.verifier.Verify(t.Context(), valid); err != nil {
					t.Fatal(err)
				}
			}
			if err := change(user, v.pawl.Client(client.WithBearer(token))); err != nil {
				t.Fatal(err)
			}
			if name == "refresh" {
				v.refresh(token)
			}
			longest := v.longestAcceptance(token, time.Now())
			if longest > bound {
				t.Errorf("the token was accepted for %s", longest)
			}
			if _, err := v.verifier.Verify(t.Context(), bystander); err != nil {
				t.Errorf("the token of another user is rejected: %v", err)
			}
		})
	}
}

// TestVerifierDemoted changes the level of a user. The verifier must return the new level within its bound.
func TestVerifierDemoted(t *testing.T) {
	v := newVerifying(t, "ES256", client.VerifierConfig{Bound: longBound})
	token := v.login()
	v.expect(true, token)
	changed := time.Now()
	if _, err := v.direct.SetRole(t.Context(), api.RoleRequest{
		UserID: pawltest.UserID, AuthLevel: api.LevelMailboxUser,
	}); err != nil {
		t.Fatal(err)
	}
	await(t, "the old level is returned", func() bool {
		began := time.Now()
		got, err := v.verifier.Verify(t.Context(), token)
		if errors.Is(err, client.ErrInvalidSession) {
			return true // Pawl may end the session instead
		}
		if err != nil {
			t.Fatal(err)
		}
		if got.AuthLevel == api.LevelMailboxAdmin && began.Sub(changed) > longBound {
			t.Fatalf("the old level is returned after %s", began.Sub(changed))
		}
		return got.AuthLevel == api.LevelMailboxUser
	})
	if got := v.askedBy(func() { v.verifier.Verify(t.Context(), token) }); got != 0 {
		t.Errorf("%d questions once the new level is known, want none", got)
	}
}

// TestVerifierOtherSessions signs a user out everywhere else. The session that stays must be accepted, after one
// question.
func TestVerifierOtherSessions(t *testing.T) {
	v := newVerifying(t, "ES256", client.VerifierConfig{Bound: longBound})
	kept, other := v.login(), v.login()
	v.expect(true, kept)
	v.expect(true, other)
	if _, err := v.pawl.Client(client.WithBearer(kept)).EndOwnSessions(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	await(t, "the ended token passes", func() bool {
		_, err := v.verifier.Verify(t.Context(), other)
		return errors.Is(err, client.ErrInvalidSession)
	})
	v.expect(true, kept)
	if got := v.askedBy(func() { v.expect(true, kept); v.expect(false, other) }); got != 0 {
		t.Errorf("%d more questions, want none", got)
	}
}

// TestVerifierActor suspends a user who acts for another one. The session of both must end.
func TestVerifierActor(t *testing.T) {
	v := newVerifying(t, "ES256", client.VerifierConfig{})
	const login = "support@example.com"
	actor, err := v.direct.CreateUser(t.Context(), api.CreateUserRequest{
		Login: login, Password: pawltest.Password, Email: login, AuthLevel: api.LevelRoot,
	})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := v.direct.OpenSession(t.Context(), api.OpenSessionRequest{
		UserID: pawltest.UserID, ActorID: &actor.UserID,
	})
	if err != nil {
		t.Fatal(err)
	}
	v.expect(true, opened.Token)
	suspended := api.StatusSuspended
	if _, err := v.direct.UpdateUser(t.Context(), api.UpdateUserRequest{
		UserID: actor.UserID, Status: &suspended,
	}); err != nil {
		t.Fatal(err)
	}
	if longest := v.longestAcceptance(opened.Token, time.Now()); longest > bound+heartbeat {
		t.Errorf("the token was accepted for %s", longest)
	}
}

// TestVerifierExpiry lets a token expire. The verifier must reject it in the same second as Pawl, or ask.
func TestVerifierExpiry(t *testing.T) {
	v := newVerifying(t, "ES256", client.VerifierConfig{})
	const left = 10 * time.Second                  // of the token's hour, after the step
	earliest := time.Now().Add(left - time.Second) // because exp has whole seconds
	token := v.login()
	latest := time.Now().Add(left)
	v.expect(true, token)
	v.server.Step(time.Hour - left)
	await(t, "the token does not expire", func() bool {
		began := time.Now()
		_, err := v.verifier.Verify(t.Context(), token)
		if err == nil && began.Sub(latest) > time.Second {
			t.Error("an expired token is accepted")
		}
		if errors.Is(err, client.ErrInvalidSession) && time.Until(earliest) > heartbeat {
			t.Errorf("the token is rejected %s before its exp", time.Until(earliest))
		}
		return err != nil
	})
}

// TestVerifierGrace supersedes a token before the verifier starts, on a server that lets the predecessor pass a little
// longer. The verifier must not keep such an answer.
func TestVerifierGrace(t *testing.T) {
	pawl := pawltest.New(t, withClock(time.Now), pawltest.WithConfig(func(c *app.Config) {
		c.Policy.BearerGrace = time.Minute
	}))
	v := &verifying{T: t, pawl: pawl, direct: pawl.Client(client.WithAPIKey(pawl.AdminAPIKey))}
	v.proxy = newFaultyProxy(t, pawl.URL)
	superseded := v.login()
	v.refresh(superseded)
	if _, err := pawl.Client(client.WithBearer(superseded)).Session(t.Context()); err != nil {
		t.Fatal(err)
	}
	v.verifier = v.newVerifier(client.VerifierConfig{})
	v.expect(false, superseded)
}
