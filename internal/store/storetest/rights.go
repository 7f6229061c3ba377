package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/token"
)

// withoutRights are the methods of authority.Store that make no write on behalf of a caller: they read, they are
// Pawl's own work, or the caller's own token or password decides.
var withoutRights = strings.Fields(`
	OpenSession Session RecentSession Credentials Rotate RecordReplay Sessions Sweep Purge Ended
	CreateFirstRoot User UserByLogin UserByExternalID SessionActor ListUsers
	APIKeyByHash APIKey APIKeys SweepAPIKeys SigningKeys SealSigningKeys
	BeginAttempt ResolveAttempt SweepAttempts
	Receivers LeaseReceivers SaveDelivery ReleaseReceivers
	AddEvents Events SweepEvents
	Ready Ahead Close
`)

// rightsWrites has the other methods, with the arguments after the Rights. A call with the arguments changes the state
// of the store. The arguments of two calls differ where equal ones would change nothing.
var rightsWrites = map[string]func(*scene) []any{
	"EndSession": func(s *scene) []any { return []any{s.targetSession.ID} },
	"OpenSessionFor": func(s *scene) []any {
		o := opening(s.target, token.SessionID{})
		copy(o.ID[:], s.unique())
		return []any{o}
	},
	"EndSessions": func(s *scene) []any {
		return []any{s.target.ID, authority.EndOptions{ClearAttempts: s.targetAccount()}}
	},
	"CreateUser": func(s *scene) []any {
		return []any{authority.User{Login: s.unique(), Level: authority.MailboxUser, Status: authority.Active}, "hash"}
	},
	"UpdateUser": func(s *scene) []any {
		return []any{s.target.ID, authority.UserChange{FirstName: new(s.unique())}}
	},
	"SetPassword": func(s *scene) []any {
		return []any{s.target.ID, authority.PasswordChange{
			Hash: s.unique(), EndSessions: true, EndOptions: authority.EndOptions{ClearAttempts: s.targetAccount()},
		}}
	},
	"CreateAPIKey": func(s *scene) []any {
		return []any{authority.APIKey{UserID: s.target.ID, Visibility: authority.Shared}, s.uniqueHash()}
	},
	"DeleteAPIKey":     func(s *scene) []any { return []any{s.targetKey.ID} },
	"AddSigningKey":    func(s *scene) []any { return []any{keyring.SigningKey{ID: s.unique()}, false} },
	"RetireSigningKey": func(s *scene) []any { return []any{s.signingKey, int64(now)} },
	"AddReceiver": func(s *scene) []any {
		id := s.unique()
		return []any{authority.Receiver{ID: id, URL: id}, 0}
	},
	"RemoveReceiver": func(s *scene) []any { return []any{s.receiver} },
}

// loss is a change that makes the rights of a caller stale.
type loss struct {
	with    []credential // the credentials of the callers that lose something
	happens func(*scene)
	want    error // the error of every later write
}

var (
	withSession = []credential{bearer, both}
	withKey     = []credential{apiKey, both}
	withEnding  = []credential{bearer, both, sessionKey} // the credentials that end with the session
	withAny     = []credential{bearer, apiKey, both}
)

// losses of the caller.
var losses = map[string]loss{
	"session ended":      {with: withEnding, want: fault.ErrActorEnded, happens: (*scene).endSession},
	"session rotated":    {with: withSession, want: fault.ErrActorEnded, happens: (*scene).rotate},
	"all sessions ended": {with: withEnding, want: fault.ErrActorEnded, happens: (*scene).endSessions},
	"password changed":   {with: withEnding, want: fault.ErrActorEnded, happens: (*scene).changePassword},
	"API key removed":    {with: withKey, want: fault.ErrActorEnded, happens: (*scene).deleteKey},
	"API key replaced":   {with: withKey, want: fault.ErrActorEnded, happens: (*scene).replaceKey},
	"API key expired":    {with: withKey, want: fault.ErrActorEnded, happens: (*scene).expireKey},
	"scope widened":      {with: withKey, want: fault.ErrActorEnded, happens: (*scene).widenScope},
	"max level raised":   {with: withKey, want: fault.ErrActorEnded, happens: (*scene).raiseMaxLevel},
	"suspended":          {with: withAny, want: fault.ErrActorEnded, happens: setStatus(actorOf, authority.Suspended)},
	"terminated":         {with: withAny, want: fault.ErrActorEnded, happens: setStatus(actorOf, authority.Terminated)},
	"demoted":            {with: withAny, want: fault.ErrRightsChanged, happens: setLevel(actorOf, authority.General)},
	"promoted":           {with: withAny, want: fault.ErrRightsChanged, happens: setLevel(actorOf, authority.Root)},
	"moved":              {with: withAny, want: fault.ErrRightsChanged, happens: setNetwork(actorOf)},
	"mailbox changed":    {with: withAny, want: fault.ErrRightsChanged, happens: setMailbox(actorOf)},
}

// targetLosses are changes of the user in Rights.Target.
var targetLosses = map[string]loss{
	"target suspended":       onTarget(setStatus(targetOf, authority.Suspended)),
	"target terminated":      onTarget(setStatus(targetOf, authority.Terminated)),
	"target promoted":        onTarget(setLevel(targetOf, authority.Root)),
	"target demoted":         onTarget(setLevel(targetOf, authority.General)),
	"target moved":           onTarget(setNetwork(targetOf)),
	"target mailbox changed": onTarget(setMailbox(targetOf)),
}

func onTarget(happens func(*scene)) loss {
	return loss{with: withAny, want: fault.ErrRightsChanged, happens: happens}
}

// testRights makes each write with each kind of stale rights. The write must return the error of the loss and change
// nothing. The callers who change another user are tested, and those who change themselves.
func testRights(t *testing.T, s *state) {
	checkRightsWrites(t)
	for _, self := range []bool{false, true} {
		table := maps.Clone(losses)
		if !self {
			maps.Copy(table, targetLosses)
		}
		for _, name := range slices.Sorted(maps.Keys(table)) {
			for _, with := range table[name].with {
				sc := s.newScene(with, self)
				table[name].happens(sc)
				sc.wantRefused(fmt.Sprintf("%s, by %s, self %v", name, with, self), table[name].want)
			}
		}
	}
}

// checkRightsWrites checks that each method of authority.Store is either in rightsWrites or in withoutRights, so that a
// new write cannot be left out.
func checkRightsWrites(t *testing.T) {
	store := reflect.TypeFor[authority.Store]()
	for i := range store.NumMethod() {
		method := store.Method(i)
		takes := method.Type.NumIn() > 1 && method.Type.In(1) == reflect.TypeFor[authority.Rights]()
		_, isTested := rightsWrites[method.Name]
		isExempt := slices.Contains(withoutRights, method.Name)
		if takes != isTested || takes == isExempt {
			t.Errorf("%s takes Rights: %v; it is in rightsWrites: %v; it is in withoutRights: %v",
				method.Name, takes, isTested, isExempt)
		}
	}
}

// testRightsSwept is testRights for swept sessions. It sweeps once, because a store may limit how often it sweeps.
func testRightsSwept(_ *testing.T, s *state) {
	scenes := map[string]*scene{}
	for _, self := range []bool{false, true} {
		for _, with := range withEnding {
			scenes[fmt.Sprintf("by %s, self %v", with, self)] = s.newScene(with, self)
		}
	}
	for done := false; !done; {
		var err error
		_, done, err = s.Sweep(s.Context(), now+10_000, everything)
		s.noError(err)
	}
	for name, sc := range scenes {
		sc.wantRefused(name, fault.ErrActorEnded)
	}
}

// wantRefused checks that each write returns an error and changes nothing.
func (s *scene) wantRefused(name string, want error) {
	s.Helper()
	before := s.dump()
	for _, method := range writeMethods() {
		if err := s.call(method); !errors.Is(err, want) {
			s.Errorf("%s: %s returns %v, want %v", name, method, err, want)
		}
		after := s.dump()
		if changed := before.Changed(after); len(changed) > 0 {
			s.Errorf("%s: %s changes the %v", name, method, changed)
		}
		before = after
	}
}

// testRightsHold makes each write with rights that hold. The write must succeed and change the state, so that
// testRights would see the change.
func testRightsHold(t *testing.T, s *state) {
	for _, self := range []bool{false, true} {
		for _, with := range []credential{bearer, apiKey, sessionKey, both} {
			for _, method := range writeMethods() {
				sc := s.newScene(with, self)
				before := sc.dump()
				if err := sc.call(method); err != nil {
					t.Errorf("by %s, self %v: %s: %v", with, self, method, err)
				}
				if len(before.Changed(sc.dump())) == 0 {
					t.Errorf("by %s, self %v: %s changes nothing", with, self, method)
				}
			}
		}
	}
}

const racers = 100

// testRightsRace lets 100 callers with the same rights repeat all writes while the rights end. As soon as the call that
// ends them returns, no write may change anything.
func testRightsRace(t *testing.T, s *state) {
	s.Store = patient{s.Store}
	for _, name := range []string{"demoted", "suspended", "API key removed", "session ended", "target promoted"} {
		l, ok := losses[name]
		if !ok {
			l = targetLosses[name]
		}
		sc := s.newScene(both, false)
		var group sync.WaitGroup
		t.Cleanup(group.Wait) // the end of a failed test ends its callers
		var writes atomic.Int64
		underWay := make(chan struct{})
		for i := range racers {
			group.Go(func() {
				for n := i; ; n++ {
					err := patiently(func() error { return sc.call(writeMethods()[n%len(rightsWrites)]) })
					switch {
					case errors.Is(err, l.want), s.Context().Err() != nil:
						return
					case err != nil && !errors.Is(err, fault.ErrNotFound):
						t.Errorf("%s: %v", name, err)
						return
					}
					if writes.Add(1) == racers {
						close(underWay)
					}
				}
			})
		}
		ended := make(chan struct{})
		go func() { group.Wait(); close(ended) }()
		select {
		case <-underWay:
		case <-ended:
			t.Fatalf("%s: all callers ended after %d writes", name, writes.Load())
		}
		l.happens(sc)
		before := sc.dump()
		group.Wait()
		if changed := before.Changed(sc.dump()); len(changed) > 0 {
			t.Errorf("%s: later writes change the %v", name, changed)
		}
	}
}

// patiently repeats a call that has timed out, for up to a minute. On a busy machine, 100 callers wait for each other
// for longer than a store lets them wait.
func patiently(call func() error) (err error) {
	for begun := time.Now(); time.Since(begun) < time.Minute; {
		if err = call(); !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	return err
}

// patient makes the changes that end rights patiently. A repeated removal may find that it has happened.
type patient struct{ Store }

func (p patient) UpdateUser(
	ctx context.Context, r authority.Rights, id int64, c authority.UserChange,
) (u *authority.User, err error) {
	err = patiently(func() error { u, err = p.Store.UpdateUser(ctx, r, id, c); return err })
	return u, err
}

func (p patient) DeleteAPIKey(ctx context.Context, r authority.Rights, id int64) error {
	return removePatiently(func() error { return p.Store.DeleteAPIKey(ctx, r, id) })
}

func (p patient) EndSession(ctx context.Context, r authority.Rights, id token.SessionID) error {
	return removePatiently(func() error { return p.Store.EndSession(ctx, r, id) })
}

func removePatiently(remove func() error) error {
	calls := 0
	err := patiently(func() error { calls++; return remove() })
	if calls > 1 && errors.Is(err, fault.ErrNotFound) {
		return nil
	}
	return err
}

// writeMethods returns the names of rightsWrites.
func writeMethods() []string { return slices.Sorted(maps.Keys(rightsWrites)) }

// testLastRoot checks that no change takes the level or the status from the last active Root, whether the change has
// rights or comes from Pawl itself.
func testLastRoot(t *testing.T, s *state) {
	first, last := s.newRoot("first"), s.newRoot("last")
	change := authority.UserChange{Level: new(authority.TechOps)}
	_, err := s.UpdateUser(t.Context(), authority.Rights{}, first.ID, change)
	s.noError(err)
	changes := map[string]authority.UserChange{
		"demote":          {Level: new(authority.General)},
		"suspend":         {Status: new(authority.Suspended)},
		"terminate":       {Status: new(authority.Terminated)},
		"demote and move": {Level: new(authority.TechOps), NetworkID: new(int64(7)), FirstName: new("a")},
	}
	for name, change := range changes {
		for _, rights := range []authority.Rights{{}, rightsOverSelf(last)} {
			_, err := s.UpdateUser(t.Context(), rights, last.ID, change)
			if !errors.Is(err, fault.ErrLastRoot) {
				t.Errorf("%s, as user %d: %v, want ErrLastRoot", name, rights.Actor.UserID, err)
			}
			if u, err := s.User(t.Context(), last.ID); err != nil || *u != *last {
				t.Errorf("%s, as user %d: the user is %+v, %v; want %+v", name, rights.Actor.UserID, u, err, last)
			}
		}
	}
	s.setStatus(first.ID, authority.Suspended) // is no Root any more
	_, err = s.UpdateUser(t.Context(), authority.Rights{}, last.ID, authority.UserChange{
		Level: new(authority.Root), Status: new(authority.Active), FirstName: new("a"), NetworkID: new(int64(7)),
	})
	s.noError(err) // the level and the status stay
}

// testLastRootRace takes the level from both of two Roots at the same time, ten times. Each time one of them must
// remain.
func testLastRootRace(t *testing.T, s *state) {
	roots := []*authority.User{s.newRoot("a"), s.newRoot("b")}
	for i := range 10 {
		var group sync.WaitGroup
		for _, root := range roots {
			rights := rightsOverSelf(root)
			if i%2 == 0 {
				rights = authority.Rights{}
			}
			group.Go(func() {
				change := authority.UserChange{Level: new(authority.General)}
				_, err := s.UpdateUser(t.Context(), rights, root.ID, change)
				if err != nil && !errors.Is(err, fault.ErrLastRoot) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		left, err := s.ListUsers(t.Context(), authority.UserFilter{Level: authority.Root, Limit: everything})
		s.noError(err)
		if len(left) != 1 {
			t.Fatalf("%d Roots are left, want 1", len(left))
		}
		for _, root := range roots {
			change := authority.UserChange{Level: new(authority.Root)}
			_, err := s.UpdateUser(t.Context(), authority.Rights{}, root.ID, change)
			s.noError(err)
		}
	}
}

func (s *state) newRoot(login string) *authority.User {
	s.Helper()
	u, err := s.CreateUser(s.Context(), authority.Rights{}, authority.User{
		Login: login, Level: authority.Root, Status: authority.Active, Created: now,
	}, "hash")
	s.noError(err)
	return u
}

// rightsOverSelf returns the rights of a user, without a credential, to change the user itself.
func rightsOverSelf(u *authority.User) authority.Rights {
	return authority.Rights{
		Actor:  authority.Actor{UserID: u.ID, Level: u.Level, Tenant: u.Tenant},
		Target: authority.Target{ID: u.ID, Level: u.Level, Tenant: u.Tenant, Status: u.Status},
	}
}
