package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

func atGeneration(id token.SessionID, generation uint32) authority.SessionWithUser {
	return authority.SessionWithUser{
		Session: authority.Session{ID: id, UserID: 1, Generation: generation},
		User:    &authority.User{ID: 1},
	}
}

// TestStaleCacheNeverGoesBack merges the results of reads begun before a refresh, before the end of the session, and
// before a broadcast.
func TestStaleCacheNeverGoesBack(t *testing.T) {
	id := token.SessionID{1}
	c := newStaleCache(time.Hour)
	begun := time.Now()
	c.addRotated(atGeneration(id, 3), begun)
	if s, found, err := c.get(id); !found || err != nil || s.Session.Generation != 3 {
		t.Errorf("after a rotation: found %v, generation %d, %v", found, s.Session.Generation, err)
	}
	if s, err := c.merge(id, atGeneration(id, 2), nil, begun); err != nil || s.Session.Generation != 3 {
		t.Errorf("after a read of generation 2: generation %d, %v; want 3", s.Session.Generation, err)
	}
	c.invalidate(id)
	if _, found, _ := c.get(id); found {
		t.Error("found a session that another node has changed")
	}
	if s, _ := c.merge(id, atGeneration(id, 2), nil, begun); s.Session.Generation != 3 {
		t.Errorf("after a broadcast and a read of generation 2: generation %d, want 3", s.Session.Generation)
	}
	if s, _ := c.merge(id, atGeneration(id, 4), nil, time.Now()); s.Session.Generation != 4 {
		t.Errorf("after a read of generation 4: generation %d", s.Session.Generation)
	}
	c.addEnded(id)
	if _, err := c.merge(id, atGeneration(id, 5), nil, begun); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("after the end and a read: %v, want ErrNotFound", err)
	}
	if _, found, err := c.get(id); !found || !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("after the end: found %v, %v; want ErrNotFound", found, err)
	}
}

// TestStaleCacheAfterUserChange checks that a read begun before a change of a user is not used after the change.
func TestStaleCacheAfterUserChange(t *testing.T) {
	c := newStaleCache(time.Hour)
	id := token.SessionID{1}
	begun := time.Now()
	c.userChanged(1)
	if _, err := c.merge(id, atGeneration(id, 1), nil, begun); err != nil {
		t.Fatal(err)
	}
	if _, found, _ := c.get(id); found {
		t.Error("found the result of a read that began before the change")
	}
	if _, err := c.merge(id, atGeneration(id, 1), nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, found, _ := c.get(id); !found {
		t.Error("did not find the result of a read that began after the change")
	}
}

// TestStaleCacheForgetsAUser checks that a broadcast of a user invalidates the sessions of this user, and no others.
func TestStaleCacheForgetsAUser(t *testing.T) {
	here, other := newStaleCache(time.Hour), newStaleCache(time.Hour)
	begun := time.Now()
	for id := range byte(20) {
		s := atGeneration(token.SessionID{id}, 1)
		s.Session.UserID = int64(id) % 12
		other.addRotated(s, begun)
	}
	here.userChanged(1)
	for _, payload := range payloads(here.node, here.takeUnsent()) {
		other.receive(payload)
	}
	for id := range byte(20) {
		if _, found, _ := other.get(token.SessionID{id}); found != (id%12 != 1) {
			t.Errorf("session of user %d: found %v", id%12, found)
		}
	}
}

// TestStaleCacheIsBounded checks that neither the entries nor the unsent broadcasts grow without limit.
func TestStaleCacheIsBounded(t *testing.T) {
	c := newStaleCache(time.Hour)
	for i := range 2 * maxStaleEntries {
		c.addRotated(atGeneration(token.SessionID{byte(i), byte(i >> 8), byte(i >> 16)}, 1), time.Now())
	}
	if len(c.entries) > maxStaleEntries || len(c.unsent) > maxStaleEntries {
		t.Errorf("%d entries and %d unsent broadcasts, want at most %d each",
			len(c.entries), len(c.unsent), maxStaleEntries)
	}
}
