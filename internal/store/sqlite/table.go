package sqlite

import (
	"encoding/binary"
	"math/bits"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// entry is a session in 64 bytes; times fit 32 bits until 2106. The zero ID
// marks a free place: no session has it.
type entry struct {
	id                                          token.SessionID
	userID                                      int64
	generation                                  uint32
	created, refreshed, previous, expires, ends uint32
	retryKey                                    authority.IdempotencyKeyHash
}

func pack(s authority.Session) entry {
	return entry{s.ID, s.UserID, s.Generation, uint32(s.Created), uint32(s.Refreshed), uint32(s.Previous),
		uint32(s.Expires), uint32(s.Ends), s.IdempotencyKey}
}

func (e *entry) unpack() authority.Session {
	return authority.Session{ID: e.id, UserID: e.userID, Generation: e.generation, Created: int64(e.created),
		Refreshed: int64(e.refreshed), Previous: int64(e.previous), Expires: int64(e.expires), Ends: int64(e.ends), IdempotencyKey: e.retryKey}
}

// table is a hash table of sessions with linear probing. A Go map of the same
// entries takes 65 bytes over a load of 0.44 to 0.88, and twice that while it
// grows; this one 64 over 0.68 to 0.85 (docs/architecture.md). It has no lock.
type table struct {
	places []entry
	count  int
}

// home is where the search for id begins.
func (t *table) home(id *token.SessionID) int {
	// Ids are random; the multiplication spreads those of tests.
	h := (binary.LittleEndian.Uint64(id[:8]) ^ bits.RotateLeft64(binary.LittleEndian.Uint64(id[8:]), 32)) * 0x9e3779b97f4a7c15
	place, _ := bits.Mul64(h, uint64(len(t.places)))
	return int(place)
}

func (t *table) after(place int) int {
	if place++; place < len(t.places) {
		return place
	}
	return 0
}

// find returns the entry of id, or the free place where it belongs; nil if the
// table has no place at all. It is good until the next put or drop.
func (t *table) find(id *token.SessionID) *entry {
	if len(t.places) == 0 {
		return nil
	}
	for i := t.home(id); ; i = t.after(i) {
		if e := &t.places[i]; e.id == *id || e.id == (token.SessionID{}) {
			return e
		}
	}
}

func (t *table) get(id *token.SessionID) (entry, bool) {
	if e := t.find(id); e != nil && e.id == *id {
		return *e, true
	}
	return entry{}, false
}

// put reports whether the entry is new.
func (t *table) put(e *entry) (added bool) {
	if t.count*20 >= len(t.places)*17 {
		t.resize(max(16, len(t.places)+len(t.places)/4))
	}
	place := t.find(&e.id)
	added = place.id != e.id
	*place = *e
	if added {
		t.count++
	}
	return added
}

func (t *table) resize(places int) {
	old := t.places
	t.places = make([]entry, places)
	for i := range old {
		if old[i].id != (token.SessionID{}) {
			*t.find(&old[i].id) = old[i]
		}
	}
}

// drop removes id, and reports whether it was there. Those behind it move up,
// so that no search ends early.
func (t *table) drop(id *token.SessionID) bool {
	e := t.find(id)
	if e == nil || e.id != *id {
		return false
	}
	free := t.home(id)
	for &t.places[free] != e {
		free = t.after(free)
	}
	n := len(t.places)
	for i := t.after(free); t.places[i].id != (token.SessionID{}); i = t.after(i) {
		if (i-t.home(&t.places[i].id)+n)%n >= (i-free+n)%n { // free is between its home and it
			t.places[free] = t.places[i]
			free = i
		}
	}
	t.places[free] = entry{}
	t.count--
	if n > 16 && t.count*5 < n*2 {
		t.resize(max(16, n*5/8))
	}
	return true
}
