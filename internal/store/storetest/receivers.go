package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// newReceiver adds a receiver and returns it.
func (s *state) newReceiver(id string) authority.Receiver {
	s.Helper()
	r := authority.Receiver{
		ID: id, URL: "https://receiver.example.com/" + id, Audience: "aud " + id, Authorization: "sealed " + id,
		Created: now,
	}
	s.noError(s.AddReceiver(s.Context(), authority.Rights{}, r, 0))
	return r
}

// testReceivers checks the life of a receiver. Its cursor begins at the newest event.
func testReceivers(t *testing.T, s *state) {
	events := []audit.Event{{At: now, Kind: audit.Login}, {At: now, Kind: audit.Logout}}
	first := s.newReceiver("b")
	s.noError(s.AddEvents(t.Context(), events))
	newest, err := s.Events(t.Context(), audit.Filter{Limit: 1})
	s.noError(err)
	second := s.newReceiver("a")
	second.Cursor = newest[0].ID
	s.wantError(s.AddReceiver(t.Context(), authority.Rights{}, first, 0), fault.ErrDuplicate)
	s.reopen()
	all, err := s.Receivers(t.Context())
	s.noError(err)
	s.wantEqual(all, []authority.Receiver{first, second})

	s.noError(s.RemoveReceiver(t.Context(), authority.Rights{}, first.ID))
	s.wantError(s.RemoveReceiver(t.Context(), authority.Rights{}, first.ID), fault.ErrNotFound)
	all, err = s.Receivers(t.Context())
	s.noError(err)
	s.wantEqual(all, []authority.Receiver{second})
}

// testReceiversAtOnce adds receivers at once: at most the permitted number, and one for each URL.
func testReceiversAtOnce(t *testing.T, s *state) {
	const calls, most = 100, 8
	var group sync.WaitGroup
	for i := range calls { // so that the store has as many connections as it may have
		group.Go(func() {
			u := authority.User{Login: fmt.Sprint(i), Level: authority.NetOps, Status: authority.Active}
			_, err := s.CreateUser(t.Context(), authority.Rights{}, u, "hash")
			s.noError(err)
		})
	}
	group.Wait()
	for i := range calls {
		group.Go(func() {
			r := authority.Receiver{ID: fmt.Sprint(i), URL: fmt.Sprintf("https://receiver.example.com/%d", i/2)}
			err := s.AddReceiver(t.Context(), authority.Rights{}, r, most)
			if err != nil && !errors.Is(err, fault.ErrDuplicate) && !errors.Is(err, fault.ErrReceiversFull) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	all, err := s.Receivers(t.Context())
	s.noError(err)
	urls := map[string]bool{}
	for _, r := range all {
		urls[r.URL] = true
	}
	if len(all) != most || len(urls) != most {
		t.Errorf("there are %d receivers with %d URLs, want %d of each", len(all), len(urls), most)
	}
}

// lease calls LeaseReceivers for the first receiver. It returns which node has it and whether the lease has time left.
func (s *state) lease(node string, life time.Duration) (holder string, valid bool) {
	s.Helper()
	all, err := s.LeaseReceivers(s.Context(), node, life)
	s.noError(err)
	return all[0].Node, all[0].Left > 0
}

// testLeases checks that a receiver belongs to one node at a time, and that only this node can save a delivery.
func testLeases(t *testing.T, s *state) {
	r := s.newReceiver("r")
	delivery := authority.Delivery{
		Cursor: 7, Delivered: 1, DeliveredAt: now + 2, Rejected: 3, Failures: 4, PendingAt: now + 5, Error: "failed",
		ErrorAt: now + 6,
	}
	save := func(node string) error { return s.SaveDelivery(t.Context(), node, r.ID, delivery) }
	want := func(holder, node string, life time.Duration) {
		t.Helper()
		if got, valid := s.lease(node, life); got != holder || !valid {
			t.Fatalf("%s asked for the lease, and %q has it (valid: %v), want %q", node, got, valid, holder)
		}
	}
	s.wantError(save("one"), fault.ErrNotFound)
	want("one", "one", time.Hour)
	want("one", "two", time.Hour)
	s.wantError(save("two"), fault.ErrNotFound)
	s.noError(save("one"))
	all, err := s.Receivers(t.Context())
	s.noError(err)
	s.wantEqual(all[0].Delivery, delivery)

	s.noError(s.ReleaseReceivers(t.Context(), "two")) // it has none
	want("one", "two", time.Hour)
	s.noError(s.ReleaseReceivers(t.Context(), "one"))
	s.wantError(save("one"), fault.ErrNotFound)
	s.lease("two", time.Millisecond)
	for holder := ""; holder != "one"; { // until the lease of a millisecond has ended
		holder, _ = s.lease("one", time.Hour)
	}
	s.wantError(save("two"), fault.ErrNotFound)
	s.noError(s.RemoveReceiver(t.Context(), authority.Rights{}, r.ID))
	s.wantError(save("one"), fault.ErrNotFound)
}

// testLeaseAfterSetBack lets a node die with a lease that lasts an hour, because the clock of the store was set back.
// Another node must get the receiver within the life of a lease, and not before.
func testLeaseAfterSetBack(t *testing.T, s *state) {
	s.newReceiver("r")
	s.lease("dead", time.Hour)
	const life = time.Second
	begun := time.Now()
	for holder := ""; holder != "next"; time.Sleep(10 * time.Millisecond) {
		if holder, _ = s.lease("next", life); holder == "next" && time.Since(begun) < life {
			t.Error("the receiver has two nodes")
		}
		if time.Since(begun) > 30*time.Second {
			t.Fatalf("after 30 s: %q has the lease", holder)
		}
	}
}

// testLeaseRace lets ten nodes lease a receiver at the same time. One of them gets the lease.
func testLeaseRace(t *testing.T, s *state) {
	s.newReceiver("r")
	var group sync.WaitGroup
	var holders atomic.Int64
	for i := range 10 {
		group.Go(func() {
			node := fmt.Sprint("node ", i)
			all, err := s.LeaseReceivers(t.Context(), node, time.Hour)
			if err != nil {
				t.Error(err)
			} else if all[0].Node == node {
				holders.Add(1)
			}
		})
	}
	group.Wait()
	if n := holders.Load(); n != 1 {
		t.Errorf("%d nodes have the lease, want 1", n)
	}
}
