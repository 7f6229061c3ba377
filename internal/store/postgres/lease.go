package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/clock"
)

const (
	// leaseLife is how long an answer may rest on a confirmed commit, from when the commit began.
	leaseLife = time.Second
	// standbysEvery is how often a node reads which standbys confirm a commit.
	standbysEvery = time.Second
	// renewPause follows a failed renewal.
	renewPause = 50 * time.Millisecond
)

var errNoLease = errors.New("no standby has confirmed a commit for a second: the primary may have been replaced")

// hold returns nil once an answer of a connection may be believed: its primary has the highest timeline, and the lease
// has not expired. hold asks for a renewal in good time, so that it rarely waits.
func (f *fence) hold(ctx context.Context, timeline uint32) error {
	for {
		if f.isLower(timeline) {
			return errReplaced
		}
		if !f.leased.Load() {
			return nil
		}
		f.mu.Lock()
		age, changed := clock.Elapsed(f.confirmed, time.Now()), f.changed
		f.mu.Unlock()
		if age > leaseLife/2 {
			select {
			case f.renew <- struct{}{}:
			default: // a renewal is due already
			}
		}
		if age <= leaseLife {
			return nil
		}
		select {
		case <-ctx.Done():
			return errNoLease
		case <-changed:
		}
	}
}

// confirm renews the lease by a commit that began at a time and was confirmed.
func (f *fence) confirm(conn *pgx.Conn, begun time.Time) {
	if !f.leased.Load() || unconfirmed(conn) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.isLower(timelineOf(conn)) && begun.After(f.confirmed) {
		f.confirmed = begun
		f.notify()
	}
}

// setStandbys takes note of the standbys that confirm a commit.
func (f *fence) setStandbys(all standbys) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if all == f.standbys {
		return
	}
	f.standbys = all
	f.leased.Store(all.leases())
	f.notify()
	switch {
	case all.leases():
		f.log.Info("every commit waits for each standby that may be promoted", "synchronous_standby_names", all.names)
	case all.required == 0:
		f.log.Info("the database has no synchronous standby: a failover may undo acknowledged refreshes",
			"synchronous_standby_names", all.names, "synchronous_commit", all.commit)
	default:
		f.log.Warn(fmt.Sprintf("a commit waits for %d of several standbys: a failover to another one may undo "+
			"acknowledged refreshes unless the replaced primary has stopped. Make commits wait for all of them",
			all.required), "synchronous_standby_names", all.names)
	}
}

// keepLease renews the lease when hold asks for it, and reads the standbys every standbysEvery, until ctx ends.
func (s *Store) keepLease(ctx context.Context) {
	ticker := time.NewTicker(standbysEvery)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			err = s.readStandbys(ctx)
		case <-s.hot.fence.renew:
			err = s.renewLease(ctx)
		}
		if err == nil {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(renewPause):
		}
		s.hot.fence.mu.Lock()
		s.hot.fence.notify() // callers that wait ask again
		s.hot.fence.mu.Unlock()
	}
}

func (s *Store) readStandbys(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hotTimeout)
	defer cancel()
	all, timeline, err := runOnConn(ctx, s.hot, readStandbysOn)
	if err == nil && !s.hot.fence.isLower(timeline) {
		s.hot.fence.setStandbys(all)
	}
	return err
}

func (s *Store) renewLease(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hotTimeout)
	defer cancel()
	_, _, err := runOnConn(ctx, s.hot, func(ctx context.Context, conn *pgx.Conn) (none, error) {
		begun := time.Now()
		err := s.confirmOn(ctx, conn, nil)
		if err == nil {
			s.hot.fence.confirm(conn, begun)
		}
		return none{}, err
	})
	return err
}
