package storetest

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/token"
)

// Acknowledged has the changes that a store has acknowledged, and compares a feed with them.
type Acknowledged struct {
	mu      sync.Mutex // guards the field below
	changes []acknowledged
}

type acknowledged struct {
	change    revocation.Change
	begun, at time.Time
}

// Add adds a change that a store has just acknowledged. The call began at a time.
func (a *Acknowledged) Add(c revocation.Change, begun time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changes = append(a.changes, acknowledged{change: c, begun: begun, at: time.Now()})
}

// Follow follows a feed until done is closed and a later beat has come. It checks what the feed promises: each change
// comes exactly once within an epoch, the generations of a session come in their order, and before each beat comes
// every change that began after the hello and was acknowledged before the server time of the beat. It returns the
// number of epochs.
func (a *Acknowledged) Follow(t *testing.T, feed *revocation.Feed, done <-chan struct{}) (epochs int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	f, err := feed.Subscribe("")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var hello time.Time
	seen := map[revocation.Change]bool{}
	latest := map[token.SessionID]uint32{}
	for {
		part, _, err := f.Next(ctx)
		if err != nil {
			t.Errorf("the feed ended: %v", err)
			return epochs
		}
		finished := isClosed(done)
		for events := revocation.NewDecoder(bytes.NewReader(part)); ; {
			e, err := events.Next()
			if err != nil {
				break
			}
			switch e.Name {
			case revocation.HelloEvent:
				epochs++
				hello = time.Now()
				clear(seen)
			case revocation.RevokedEvent:
				a.check(t, e.Changes, seen, latest)
			case revocation.BeatEvent:
				a.checkBeat(t, hello, e.Beat, seen)
				if finished && a.allBefore(e.Beat) {
					return epochs
				}
			}
		}
	}
}

func isClosed(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// allBefore reports whether every change was acknowledged before a time.
func (a *Acknowledged) allBefore(at time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.changes) == 0 || a.changes[len(a.changes)-1].at.Before(at)
}

// check checks the changes of an event.
func (a *Acknowledged) check(
	t *testing.T, changes []revocation.Change, seen map[revocation.Change]bool, latest map[token.SessionID]uint32,
) {
	t.Helper()
	for _, c := range changes {
		c.Before = 0
		if seen[c] && c.Session != (token.SessionID{}) {
			t.Errorf("%+v came twice", c)
		}
		seen[c] = true
		if c.Generation != 0 {
			if c.Generation <= latest[c.Session] {
				t.Errorf("generation %d of session %#v came after %d", c.Generation, c.Session, latest[c.Session])
			}
			latest[c.Session] = c.Generation
		}
	}
}

// checkBeat checks that every change acknowledged before a beat has come.
func (a *Acknowledged) checkBeat(t *testing.T, hello, beat time.Time, seen map[revocation.Change]bool) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.changes {
		if c.begun.After(hello) && c.at.Before(beat) && !seen[c.change] {
			t.Errorf("a beat came %v after %+v was acknowledged, and before its event", beat.Sub(c.at), c.change)
		}
	}
}

// RunFeed makes changes through the stores, in turn, while it follows the feed of the first one.
func RunFeed(t *testing.T, feed *revocation.Feed, stores ...authority.Store) {
	const sessions, rotations = 8, 40
	var known Acknowledged
	done := make(chan struct{})
	var writers sync.WaitGroup
	for i := range sessions {
		user, err := stores[0].CreateUser(t.Context(), authority.Rights{}, authority.User{
			Login: fmt.Sprint("follower", i), Level: authority.MailboxUser, Status: authority.Active,
		}, "hash")
		if err != nil {
			t.Fatal(err)
		}
		writers.Go(func() { known.write(t, stores, user.ID, i, rotations) })
	}
	go func() {
		writers.Wait()
		close(done)
	}()
	if epochs := known.Follow(t, feed, done); epochs != 1 {
		t.Errorf("the feed had %d epochs, want 1", epochs)
	}
	writers.Wait()
}

// write rotates sessions of a user, and ends them: one by its id, and the others with the user's epoch.
func (a *Acknowledged) write(t *testing.T, stores []authority.Store, userID int64, number, rotations int) {
	opening := authority.Opening{PasswordHash: "hash", SessionWithOrigin: authority.SessionWithOrigin{
		Session: authority.Session{
			UserID: userID, Generation: 1, Created: now, Refreshed: now, Expires: now + 3600, Idle: now + 3600,
			Ends: now + 7200,
		},
	}}
	for end := range 3 {
		opening.ID = token.SessionID{byte(number + 1), byte(end), 7}
		if _, err := stores[0].OpenSession(t.Context(), opening); err != nil {
			t.Error(err)
			return
		}
		for from := range uint32(rotations) {
			store := stores[int(from)%len(stores)]
			begun := time.Now()
			_, rotated, err := store.Rotate(t.Context(), authority.Rotation{
				Session: opening.ID, From: from + 1, At: now, Lives: oneHour,
			})
			if err != nil || !rotated {
				t.Errorf("rotated %v, %v", rotated, err)
				return
			}
			a.Add(revocation.SessionRotated(opening.ID, from+2), begun)
		}
		begun := time.Now()
		if end == 0 {
			if err := stores[0].EndSession(t.Context(), authority.Rights{}, opening.ID); err != nil {
				t.Error(err)
			}
			a.Add(revocation.SessionEnded(opening.ID), begun)
		}
	}
	last := stores[len(stores)-1]
	begun := time.Now()
	if _, err := last.EndSessions(t.Context(), authority.Rights{}, userID, authority.EndOptions{}); err != nil {
		t.Error(err)
	}
	a.Add(revocation.UserChanged(userID, 0), begun)
}

// RunIssued checks that a store keeps the highest iat of a token over a restart. open opens the store of a node with a
// feed.
func RunIssued(t *testing.T, open func(*revocation.Feed) authority.Store) {
	later := time.Now().Add(time.Hour).Unix()
	first := revocation.NewFeed(revocation.FeedConfig{})
	store := open(first)
	first.Issued(later)
	first.Issued(later - 1)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	first.Close()
	feed := revocation.NewFeed(revocation.FeedConfig{Remote: true})
	defer feed.Close()
	defer open(feed).Close()
	follower, err := feed.Subscribe("")
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Close()
	feed.Open() // on SQLite, nothing else does
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		part, _, err := follower.Next(ctx)
		if err != nil {
			t.Fatalf("no hello has the highest iat: %v", err)
		}
		e, err := revocation.NewDecoder(bytes.NewReader(part)).Next()
		if err == nil && e.Name == revocation.HelloEvent && e.Hello.IssuedUntil.Unix() == later {
			return
		}
		feed.Restart()
	}
}
