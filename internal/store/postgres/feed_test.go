//go:build linux

package postgres_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/store/storetest"
	"github.com/pawlauth/pawl/internal/test/pgtest"
)

// openFollowed opens the store of a node with a feed.
func openFollowed(t testing.TB, dsn string) (node, *revocation.Feed) {
	t.Helper()
	feed := revocation.NewFeed(revocation.FeedConfig{Remote: true})
	t.Cleanup(feed.Close)
	return openNode(t, postgres.Config{DSN: dsn, Feed: feed}), feed
}

// TestFeed follows the feed of one of two nodes, while both make changes.
func TestFeed(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	n, feed := openFollowed(t, dsn)
	other := openNode(t, postgres.Config{DSN: dsn})
	storetest.RunFeed(t, feed, n, other)
}

func TestIssued(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	storetest.RunIssued(t, func(feed *revocation.Feed) authority.Store {
		s, err := postgres.Open(t.Context(), postgres.Config{DSN: dsn, Feed: feed})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// followWhile follows a feed while event happens. A client refreshes a session through another node before, during and
// after the event, and ignores errors. followWhile returns the number of epochs.
func followWhile(t *testing.T, feed *revocation.Feed, other node, event func()) (epochs int) {
	t.Helper()
	var known storetest.Acknowledged
	id := other.newSession(other.newUser("a"), 1)
	stop, done := make(chan struct{}), make(chan struct{})
	var client sync.WaitGroup
	var rotations atomic.Int64
	// awaitRefreshes waits for 20 more refreshes, with an epoch in the feed.
	awaitRefreshes := func() {
		enough := rotations.Load() + 20
		for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			if rotations.Load() >= enough && feed.Stats().Epochs > 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Error("waited for 30 s for refreshes")
				return
			}
		}
	}
	client.Go(func() {
		defer close(done)
		for generation := uint32(1); ; {
			select {
			case <-stop:
				return
			default:
			}
			begun := time.Now()
			s, rotated, err := other.Rotate(t.Context(), authority.Rotation{
				Session: id, From: generation, Lives: farLives,
			})
			if err == nil && rotated {
				rotations.Add(1)
				known.Add(revocation.SessionRotated(id, s.Session.Generation), begun)
			}
			if err == nil {
				generation = s.Session.Generation
			}
		}
	})
	client.Go(func() {
		defer close(stop)
		awaitRefreshes()
		event()
		awaitRefreshes()
	})
	epochs = known.Follow(t, feed, done)
	client.Wait()
	return epochs
}

// TestFeedFailover kills the database and starts it again. The table of changes is empty after that, so the feed must
// begin a new epoch.
func TestFeedFailover(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t)
	proxy := pgtest.NewProxy(t, cluster.Addr)
	dsn := pgtest.DSN(cluster.Database(t), proxy.Addr)
	_, feed := openFollowed(t, dsn)
	epochs := followWhile(t, feed, openNode(t, postgres.Config{DSN: dsn}), func() {
		cluster.Kill()
		cluster.Restart(t)
		proxy.SetTarget(cluster.Addr)
	})
	if epochs < 2 {
		t.Error("the feed continued its epoch after the database had lost the changes")
	}
}

// TestFeedCutOff cuts a node off from the database while another node makes changes. The node must send no beat until
// it has all of them.
func TestFeedCutOff(t *testing.T) {
	t.Parallel()
	cuts := map[string]struct {
		cut   func(*pgtest.Proxy)
		pause time.Duration
	}{
		"stalled":          {cut: (*pgtest.Proxy).Stall, pause: time.Second},
		"dropped":          {cut: (*pgtest.Proxy).Drop, pause: time.Second},
		"stalled for long": {cut: (*pgtest.Proxy).Stall, pause: 7 * time.Second},
	}
	for name, c := range cuts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cluster := pgtest.Shared(t)
			proxy := pgtest.NewProxy(t, cluster.Addr)
			database := cluster.Database(t)
			_, feed := openFollowed(t, pgtest.DSN(database, proxy.Addr))
			other := openNode(t, postgres.Config{DSN: cluster.DSN(database)})
			epochs := followWhile(t, feed, other, func() {
				c.cut(proxy)
				time.Sleep(c.pause)
				proxy.Pass()
			})
			if c.pause > 5*time.Second && epochs < 2 {
				t.Error("the feed continued its epoch after a pause that may lose changes")
			}
		})
	}
}

// TestFeedLapse lets the time pass until which commits write their changes, and then asks for the changes at once, as
// another node would. The feed must begin a new epoch, because a commit in between wrote nothing.
func TestFeedLapse(t *testing.T) {
	cluster := pgtest.Start(t)
	dsn := cluster.DSN(cluster.Database(t))
	_, feed := openFollowed(t, dsn)
	follower, err := feed.Subscribe("")
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Close()
	await(t, "an epoch", func() bool { return feed.Stats().Epochs == 1 })
	for range 10 { // a poll has to read the time before it passes
		pgtest.Exec(t, dsn,
			"UPDATE pawl.feed SET until = clock_timestamp() + interval '500ms'",
			"UPDATE pawl.feed SET until = clock_timestamp() + interval '10 minutes' "+
				"WHERE pg_sleep(extract(epoch FROM until - clock_timestamp())) IS NOT NULL",
			"SELECT pg_sleep(0.3)")
		if feed.Stats().Epochs > 1 {
			return
		}
	}
	t.Error("the feed continued its epoch after commits wrote no changes")
}

// TestRecentSessions checks that a node with a bound answers from memory, and reads the row once anything has changed.
func TestRecentSessions(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Shared(t)
	dsn := cluster.DSN(cluster.Database(t))
	n := openNode(t, postgres.Config{DSN: dsn, Staleness: time.Hour})
	other := openNode(t, postgres.Config{DSN: dsn})
	user := n.newUser("a")
	id := n.newSession(user, 1)
	check := func() authority.SessionWithUser {
		t.Helper()
		s, err := n.RecentSession(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	// The memory holds the session once two checks return the same user.
	remembered := func() bool {
		first := check()
		return check().User == first.User
	}
	await(t, "the node to remember the session", remembered)
	changes := map[string]func(node){
		"rotation": func(by node) { by.mustRotate(id, check().Session.Generation) },
		"level": func(by node) {
			level := check().User.Level%authority.General + 1
			by.mustUpdate(user.ID, authority.UserChange{Level: &level})
		},
		"first name": func(by node) {
			name := check().User.FirstName + "x"
			by.mustUpdate(user.ID, authority.UserChange{FirstName: &name})
		},
	}
	for name, change := range changes {
		for _, by := range []node{n, other} {
			before := check()
			change(by)
			differs := func() bool {
				s := check()
				return s.Session.Generation != before.Session.Generation || s.User.Level != before.User.Level ||
					s.User.FirstName != before.User.FirstName
			}
			if by == n && !differs() {
				t.Errorf("the node does not see its own change: %s", name)
			}
			await(t, "the node to see the change: "+name, differs)
			await(t, "the node to remember the session again", remembered)
		}
	}
	if err := other.EndSession(t.Context(), authority.Rights{}, id); err != nil {
		t.Fatal(err)
	}
	await(t, "the node to see the end", func() bool {
		_, err := n.RecentSession(t.Context(), id)
		return err != nil
	})
}

func (n node) mustUpdate(userID int64, c authority.UserChange) {
	n.t.Helper()
	if _, err := n.UpdateUser(n.t.Context(), authority.Rights{}, userID, c); err != nil {
		n.t.Fatal(err)
	}
}

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited for 30 s for " + what)
		}
	}
}
