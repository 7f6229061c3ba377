package postgres

import (
	"context"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/token"
)

// Nodes that may check against state of a short while ago tell each other what
// they changed, so that it is mostly far fresher than the bound. Nothing relies
// on it: with the channel down the bound holds, as an entry's age is its own.

const (
	channel       = "pawl_session"
	mostInPayload = 300 // ids of 22 characters and a comma; PostgreSQL takes 8,000 bytes
	everyoneMark  = "*" // a user has changed: let go of all
)

// notify sends what this node changed, until ctx ends. What it cannot send is
// dropped.
func (s *Store) notify(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.recent.wake:
		}
		for _, payload := range payloads(s.recent.node, s.recent.takeDirty()) {
			within, cancel := context.WithTimeout(ctx, stepTimeout)
			_, _ = s.pool.Exec(within, "SELECT pg_notify($1, $2)", channel, payload) // see above: nothing relies on it
			cancel()
		}
	}
}

func (r *recent) takeDirty() []token.SessionID {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := r.dirty
	r.dirty = nil
	return ids
}

// payloads are the node's name and the sessions', as many as fit one.
func payloads(node string, ids []token.SessionID) (all []string) {
	names := []string{node}
	flush := func() {
		if len(names) > 1 {
			all = append(all, strings.Join(names, ","))
			names = []string{node}
		}
	}
	for _, id := range ids {
		name := everyoneMark
		if id != (token.SessionID{}) {
			name = id.String()
		}
		if names = append(names, name); len(names) > mostInPayload {
			flush()
		}
	}
	flush()
	return all
}

// listen hears what other nodes changed, until ctx ends, and connects again
// when the connection is lost.
func (s *Store) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.listenOnce(ctx); err != nil && ctx.Err() == nil {
			s.recent.expire() // what was said meanwhile was not heard
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}
}

func (s *Store) listenOnce(ctx context.Context) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	own := conn.Hijack() // it stays in LISTEN: not one to give back
	defer own.Close(context.WithoutCancel(ctx))
	if _, err := own.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	for {
		said, err := own.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		s.hear(said.Payload)
	}
}

// hear lets go of what another node has changed; this one knows what it did.
func (s *Store) hear(payload string) {
	node, payload, _ := strings.Cut(payload, ",")
	if node == s.recent.node {
		return
	}
	for name := range strings.SplitSeq(payload, ",") {
		if id, ok := token.ParseSessionID(name); ok {
			s.recent.expire(id)
		} else if name == everyoneMark {
			s.recent.expire()
		}
	}
}
