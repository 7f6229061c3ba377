package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// TestRecentNeverGoesBack feeds outcomes of reads that were overtaken: by a
// refresh of this node's, by the end of the session, and by another's word.
func TestRecentNeverGoesBack(t *testing.T) {
	at := func(generation uint32) authority.SessionWithUser {
		return authority.SessionWithUser{Session: authority.Session{ID: token.SessionID{1}, Generation: generation}, User: &authority.User{ID: 1}}
	}
	id := token.SessionID{1}
	r := newStaleCache(time.Hour)
	begun := r.now()
	r.addRotated(at(3), begun)
	if live, known, err := r.get(id); !known || err != nil || live.Session.Generation != 3 {
		t.Errorf("what was just done is known: %v, generation %d, %v", known, live.Session.Generation, err)
	}
	if live, err := r.merge(id, at(2), nil, begun); err != nil || live.Session.Generation != 3 {
		t.Errorf("an overtaken read gives generation %d, %v", live.Session.Generation, err)
	}
	r.invalidate(id)
	if _, known, _ := r.get(id); known {
		t.Error("what another node has changed is still used")
	}
	if live, _ := r.merge(id, at(2), nil, begun); live.Session.Generation != 3 {
		t.Errorf("after another's word an overtaken read gives generation %d", live.Session.Generation)
	}
	if live, _ := r.merge(id, at(4), nil, r.now()); live.Session.Generation != 4 {
		t.Errorf("a newer read gives generation %d", live.Session.Generation)
	}
	r.addEnded([]token.SessionID{id})
	if _, err := r.merge(id, at(5), nil, begun); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("after the end an overtaken read gives %v", err)
	}
	if _, known, err := r.get(id); !known || !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("after the end: known %v, %v", known, err)
	}
}

// TestRecentOutlivesNoUser: a read that began before a user was changed is not
// used after it.
func TestRecentOutlivesNoUser(t *testing.T) {
	r := newStaleCache(time.Hour)
	id := token.SessionID{1}
	begun := r.now()
	r.userChanged()
	if _, err := r.merge(id, authority.SessionWithUser{Session: authority.Session{ID: id, Generation: 1}}, nil, begun); err != nil {
		t.Fatal(err)
	}
	if _, known, _ := r.get(id); known {
		t.Error("a read that was overtaken is used")
	}
	if _, err := r.merge(id, authority.SessionWithUser{Session: authority.Session{ID: id, Generation: 1}}, nil, r.now()); err != nil {
		t.Fatal(err)
	}
	if _, known, _ := r.get(id); !known {
		t.Error("a later read is not used")
	}
}

// TestRecentIsBounded: neither the sessions nor what is to be told grow without
// a limit, whatever the other nodes and the database do.
func TestRecentIsBounded(t *testing.T) {
	r := newStaleCache(time.Hour)
	for i := range 2 * maxStaleEntries {
		r.addRotated(authority.SessionWithUser{Session: authority.Session{ID: token.SessionID{byte(i), byte(i >> 8), byte(i >> 16)}, Generation: 1}}, r.now())
	}
	if len(r.entries) > maxStaleEntries || len(r.unsent) > maxStaleEntries {
		t.Errorf("%d sessions are kept and %d are to be told, at most %d may be", len(r.entries), len(r.unsent), maxStaleEntries)
	}
}
