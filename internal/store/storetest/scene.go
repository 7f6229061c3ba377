package storetest

import (
	"fmt"
	"reflect"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/authority/throttle"
)

// credential is how the caller of a scene signed in.
type credential string

const (
	bearer     credential = "bearer"
	apiKey     credential = "API key"
	sessionKey credential = "API key of a session" // of visibility SessionOnly
	both       credential = "bearer and API key"
)

// scene is a caller with rights, and a user to change.
type scene struct {
	*state
	actor, target          *authority.User
	session, targetSession authority.Session
	key, targetKey         authority.APIKey
	signingKey             string // a signing key that can be retired
	receiver               string // a receiver of security event tokens
	address                string // the failed sign-ins of the target came from it
	rights                 authority.Rights
}

// newScene creates the users of a scene in a tenant of their own. If self is set, the caller is the user to change.
func (s *state) newScene(with credential, self bool) *scene {
	s.Helper()
	sc := &scene{state: s}
	network := sc.counter.Add(1)
	sc.actor = sc.newUserIn(network, authority.NetworkAdmin)
	sc.target = sc.newUserIn(network, authority.MailboxUser)
	if self {
		sc.target = sc.actor
	}
	sc.session, sc.targetSession = s.newSession(sc.actor), s.newSession(sc.target)
	key := authority.APIKey{
		UserID: sc.actor.ID, Visibility: authority.Private, Primary: true,
		Scope: authority.OpenSessionsScope, MaxLevel: authority.MailboxUser, Expires: now + 100,
	}
	if with == sessionKey {
		key = authority.APIKey{UserID: sc.actor.ID, Visibility: authority.SessionOnly, Session: sc.session.ID}
	}
	sc.key = sc.newKey(key)
	sc.targetKey = sc.newKey(authority.APIKey{UserID: sc.target.ID, Visibility: authority.Shared})
	sc.receiver = sc.unique()
	s.noError(s.AddReceiver(s.Context(), authority.Rights{}, authority.Receiver{ID: sc.receiver, URL: sc.receiver}, 0))
	for range 2 { // one remains
		sc.signingKey = sc.unique()
		s.noError(s.AddSigningKey(s.Context(), authority.Rights{}, keyring.SigningKey{ID: sc.signingKey}, false))
	}
	sc.address = sc.unique()
	for range 10 {
		s.fail(sc.target.Login, sc.address, now)
	}
	sc.rights = authority.Rights{
		Actor: authority.Actor{UserID: sc.actor.ID, Level: sc.actor.Level, Tenant: sc.actor.Tenant, At: now},
		Target: authority.Target{
			ID: sc.target.ID, Level: sc.target.Level, Tenant: sc.target.Tenant, Status: sc.target.Status,
		},
	}
	if with == bearer || with == both {
		sc.rights.Actor.Session, sc.rights.Actor.Generation = sc.session.ID, sc.session.Generation
	}
	if with != bearer {
		sc.rights.Actor.APIKey = sc.key.ID
		sc.rights.Actor.Scope, sc.rights.Actor.MaxLevel = sc.key.Scope, sc.key.MaxLevel
	}
	return sc
}

// unique returns a text that no other call returns.
func (s *scene) unique() string { return fmt.Sprint("unique-", s.counter.Add(1)) }

func (s *scene) uniqueHash() (hash authority.APIKeyHash) {
	copy(hash[:], s.unique())
	return hash
}

func (s *scene) newUserIn(network int64, level authority.Level) *authority.User {
	s.Helper()
	u, err := s.CreateUser(s.Context(), authority.Rights{}, authority.User{
		Login: s.unique(), Level: level, Status: authority.Active,
		Tenant: authority.Tenant{NetworkID: network, MailboxID: 1}, Created: now,
	}, "hash")
	s.noError(err)
	return u
}

func (s *scene) newKey(key authority.APIKey) authority.APIKey {
	s.Helper()
	created, err := s.CreateAPIKey(s.Context(), authority.Rights{}, key, s.uniqueHash())
	s.noError(err)
	return created
}

// targetAccount returns the account whose failure counters the writes clear.
func (s *scene) targetAccount() *throttle.AccountHash { return new(throttle.HashLogin(s.target.Login)) }

// call calls a method of rightsWrites with the rights of the scene, and returns the error of the call.
func (s *scene) call(method string) error {
	args := []reflect.Value{reflect.ValueOf(s.Context()), reflect.ValueOf(s.rights)}
	for _, arg := range rightsWrites[method](s) {
		args = append(args, reflect.ValueOf(arg))
	}
	results := reflect.ValueOf(s.Store).MethodByName(method).Call(args)
	err, _ := results[len(results)-1].Interface().(error)
	return err
}

// The changes that make rights stale. Pawl itself makes them, without rights.

func (s *scene) endSession() {
	s.Helper()
	s.noError(s.EndSession(s.Context(), authority.Rights{}, s.session.ID))
}

func (s *scene) rotate() {
	s.Helper()
	rotation := authority.Rotation{Session: s.session.ID, From: 1, At: now, Lives: oneHour}
	if _, rotated, err := s.Rotate(s.Context(), rotation); err != nil || !rotated {
		s.Fatalf("rotated %v, %v", rotated, err)
	}
}

func (s *scene) endSessions() {
	s.Helper()
	s.mustEndSessions(s.actor.ID, authority.EndOptions{})
}

func (s *scene) changePassword() {
	s.Helper()
	change := authority.PasswordChange{Hash: "another", EndSessions: true}
	s.noError(s.SetPassword(s.Context(), authority.Rights{}, s.actor.ID, change))
}

func (s *scene) deleteKey() {
	s.Helper()
	s.noError(s.DeleteAPIKey(s.Context(), authority.Rights{}, s.key.ID))
}

func (s *scene) replaceKey() {
	s.Helper()
	s.newKey(authority.APIKey{UserID: s.actor.ID, Visibility: authority.Private, Primary: true})
}

// expireKey moves the caller's clock to the end of the API key.
func (s *scene) expireKey() { s.rights.Actor.At = s.key.Expires }

// widenScope and raiseMaxLevel give the caller more than the API key has.
func (s *scene) widenScope()    { s.rights.Actor.Scope = authority.FullScope }
func (s *scene) raiseMaxLevel() { s.rights.Actor.MaxLevel = authority.Root }

func actorOf(s *scene) *authority.User  { return s.actor }
func targetOf(s *scene) *authority.User { return s.target }

func setStatus(of func(*scene) *authority.User, status authority.Status) func(*scene) {
	return changeUser(of, authority.UserChange{Status: &status})
}

func setLevel(of func(*scene) *authority.User, level authority.Level) func(*scene) {
	return changeUser(of, authority.UserChange{Level: &level})
}

func setNetwork(of func(*scene) *authority.User) func(*scene) {
	return changeUser(of, authority.UserChange{NetworkID: new(int64(1 << 40))})
}

func setMailbox(of func(*scene) *authority.User) func(*scene) {
	return changeUser(of, authority.UserChange{MailboxID: new(int64(1 << 40))})
}

func changeUser(of func(*scene) *authority.User, change authority.UserChange) func(*scene) {
	return func(s *scene) {
		s.Helper()
		_, err := s.UpdateUser(s.Context(), authority.Rights{}, of(s).ID, change)
		s.noError(err)
	}
}

// dump returns the rows of the store, and whether the failure counters of the scene's target cause a wait.
func (s *scene) dump() Dump {
	s.Helper()
	d := ReadDump(s, s.Store)
	attempt := newAttempt(s.target.Login, s.address, now)
	wait, known, err := s.BeginAttempt(s.Context(), attempt)
	if err == nil && wait == 0 { // or the attempts of several dumps would cause a wait
		err = s.ResolveAttempt(s.Context(), attempt, known, throttle.Unchecked)
	}
	s.noError(err)
	d["failure counters"] = wait > 0
	return d
}
