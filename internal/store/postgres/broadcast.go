package postgres

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/token"
)

// Nodes with a stale cache broadcast the sessions that they change, so that the entries of the other nodes are usually
// far younger than the maximum age. The maximum age itself does not depend on broadcasts: an entry expires without one.

const (
	channel       = "pawl_session"
	maxInPayload  = 300 // ids of 22 characters and a comma; PostgreSQL accepts 8,000 bytes
	allSessions   = "*" // stands for all sessions in a payload
	listenBackoff = time.Second
)

// broadcast sends the changes of this node until ctx ends. Changes that cannot be sent are dropped.
func (s *Store) broadcast(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.stale.wake:
		}
		for _, payload := range payloads(s.stale.node, s.stale.takeUnsent()) {
			sending, cancel := context.WithTimeout(ctx, bulkTimeout)
			_, _ = s.pool.Exec(sending, "SELECT pg_notify($1, $2)", channel, payload)
			cancel()
		}
	}
}

func (c *staleCache) takeUnsent() []token.SessionID {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := c.unsent
	c.unsent = nil
	return ids
}

// payloads returns the payloads that broadcast the sessions. Each one begins with the node.
func payloads(node string, ids []token.SessionID) []string {
	var all []string
	for page := range slices.Chunk(ids, maxInPayload) {
		payload := []string{node}
		for _, id := range page {
			if id == (token.SessionID{}) {
				payload = append(payload, allSessions)
			} else {
				payload = append(payload, id.String())
			}
		}
		all = append(all, strings.Join(payload, ","))
	}
	return all
}

// listen receives the broadcasts of other nodes until ctx ends, and connects again if it loses its connection.
func (s *Store) listen(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.listenOnce(ctx); err != nil && ctx.Err() == nil {
			s.stale.invalidateAll() // broadcasts may have been missed
			select {
			case <-ctx.Done():
			case <-time.After(listenBackoff):
			}
		}
	}
}

func (s *Store) listenOnce(ctx context.Context) error {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	conn := pooled.Hijack() // it listens until it ends, so it cannot go back to the pool
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return err
	}
	for {
		notification, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		s.stale.receive(notification.Payload)
	}
}

// receive invalidates the sessions that another node has changed. A node receives its own broadcasts too, and ignores
// them.
func (c *staleCache) receive(payload string) {
	node, sessions, _ := strings.Cut(payload, ",")
	if node == c.node {
		return
	}
	for name := range strings.SplitSeq(sessions, ",") {
		if id, ok := token.ParseSessionID(name); ok {
			c.invalidate(id)
		} else if name == allSessions {
			c.invalidateAll()
		}
	}
}
