package server_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pawlauth/pawl/pawltest"
)

// TestReplayAfterExpiry repeats a refresh after the loss of its response, at several times around the exp of the
// superseded token. For two minutes after the rotation the same Idempotency-Key gets the same successor, whether or not
// the superseded token has expired meanwhile. Later, the repeated refresh is taken for theft.
func TestReplayAfterExpiry(t *testing.T) {
	const life = time.Hour
	tests := []struct {
		rotation, repeated time.Duration // since the login
		replayed           bool
		idle               time.Duration // 0 is the life of a token
	}{
		{rotation: life - 2*time.Second, repeated: life - 1*time.Second, replayed: true},
		{rotation: life - 2*time.Second, repeated: life + 1*time.Second, replayed: true},
		{rotation: life - 2*time.Second, repeated: life + 11*time.Second, replayed: true},
		{rotation: life - 2*time.Second, repeated: life + 117*time.Second, replayed: true},
		{rotation: life - 2*time.Second, repeated: life + 118*time.Second, replayed: false},
		{rotation: life - 1*time.Second, repeated: life + 118*time.Second, replayed: true},
		{rotation: life - 1*time.Second, repeated: life + 121*time.Second, replayed: false},

		{rotation: life - 2*time.Second, repeated: life - 1*time.Second, replayed: true, idle: 2 * life},
		{rotation: life - 2*time.Second, repeated: life + 117*time.Second, replayed: true, idle: 2 * life},
		{rotation: life - 2*time.Second, repeated: life + 119*time.Second, replayed: false, idle: 2 * life},
		{rotation: life, repeated: life + 1*time.Second, replayed: true, idle: 2 * life},
		{rotation: life, repeated: life + 11*time.Second, replayed: true, idle: 2 * life},
		{rotation: life, repeated: life + 119*time.Second, replayed: true, idle: 2 * life},
		{rotation: life, repeated: life + 121*time.Second, replayed: false, idle: 2 * life},
		{rotation: 2*life - 1*time.Second, repeated: 2*life + 118*time.Second, replayed: true, idle: 2 * life},
		{rotation: 2*life - 1*time.Second, repeated: 2*life + 119*time.Second, replayed: false, idle: 2 * life},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.rotation, " ", test.repeated, " ", test.idle), func(t *testing.T) {
			b := start(t, pawltest.WithTokenLife(life), pawltest.WithIdleLife(test.idle))
			old := b.login()
			b.Clock.Add(test.rotation)
			successor := b.refresh(200, old, "Idempotency-Key: lost")
			b.Clock.Add(test.repeated - test.rotation)
			if !test.replayed {
				b.refresh(401, old, "Idempotency-Key: lost")
				b.session(401, successor) // ended as stolen
				return
			}
			if got := b.refresh(200, old, "Idempotency-Key: lost"); got != successor {
				t.Errorf("the repeated refresh returned another token than the first")
			}
			b.session(200, successor)
			b.session(401, old)
			b.refresh(200, successor)
		})
	}
}

// TestReplayOfAnIdleSuccessor repeats a refresh when the successor has expired, but can still be refreshed.
func TestReplayOfAnIdleSuccessor(t *testing.T) {
	b := start(t, pawltest.WithTokenLife(30*time.Second), pawltest.WithIdleLife(time.Hour))
	old := b.login()
	b.Clock.Add(25 * time.Second)
	successor := b.refresh(200, old, "Idempotency-Key: lost")
	b.Clock.Add(40 * time.Second)
	if got := b.refresh(200, old, "Idempotency-Key: lost"); got != successor {
		t.Error("the repeated refresh returned another token than the first")
	}
	b.session(401, successor)
	b.session(200, b.refresh(200, successor))
}

// TestReplayOfAnExpiredSuccessor repeats a refresh when the successor has expired too: there is nothing left to return,
// but an honest retry is not theft, so the audit must not report one.
func TestReplayOfAnExpiredSuccessor(t *testing.T) {
	b := start(t, pawltest.WithTokenLife(30*time.Second))
	old := b.login()
	b.Clock.Add(25 * time.Second)
	b.refresh(200, old, "Idempotency-Key: lost")
	b.Clock.Add(40 * time.Second)
	b.refresh(401, old, "Idempotency-Key: lost")
	if events := b.audit("kind=theft", b.admin()); len(events) != 0 {
		t.Errorf("the audit reports a theft: %+v", events)
	}
}

// TestExpiredTokenWithoutKey uses a superseded token after its expiry, without the Idempotency-Key of the rotation. If
// the thief was faster than the owner, this call of the owner reveals the theft.
func TestExpiredTokenWithoutKey(t *testing.T) {
	b := start(t, pawltest.WithTokenLife(time.Hour))
	stolen := b.login()
	b.Clock.Add(30 * time.Minute)
	successor := b.refresh(200, stolen, "Idempotency-Key: thief")
	b.Clock.Add(31 * time.Minute) // past the superseded token's exp, and before the successor's
	b.session(200, successor)
	b.refresh(401, stolen, "Idempotency-Key: owner")
	b.session(401, successor)
}

// TestReuseOfIdleToken checks that a superseded token past its exp is taken for a race and for theft at the same times
// as any other.
func TestReuseOfIdleToken(t *testing.T) {
	b := start(t, pawltest.WithTokenLife(time.Minute), pawltest.WithIdleLife(time.Hour))
	first := b.login()
	b.Clock.Add(2 * time.Minute)
	second := b.refresh(200, first)
	b.Clock.Add(10 * time.Second)
	b.refresh(401, first)
	b.session(200, second)
	b.Clock.Add(time.Second)
	b.refresh(401, first)
	b.session(401, second)
	b.refresh(401, second)
}
