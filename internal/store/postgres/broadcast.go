package postgres

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/token"
)

// Nodes with a stale cache broadcast the sessions and the users they change, so that the entries of the other nodes are
// usually far younger than the maximum age. The maximum age itself does not depend on broadcasts: an entry expires
// without one.

const (
	channel       = "pawl_session"
	maxInPayload  = 300     // names of at most 24 characters and a comma; PostgreSQL accepts 8,000 bytes
	userPrefix    = "user:" // distinguishes users from sessions in a payload
	listenBackoff = time.Second
)

// broadcast sends the changes of this node until ctx ends. A change is dropped if it cannot be sent.
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

func (c *staleCache) takeUnsent() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names := c.unsent
	c.unsent = nil
	return names
}

// userName returns the name for all sessions of a user.
func userName(userID int64) string { return userPrefix + strconv.FormatInt(userID, 10) }

// payloads returns the payloads for a broadcast of the names. Each one begins with the node.
func payloads(node string, names []string) []string {
	var all []string
	for page := range slices.Chunk(names, maxInPayload) {
		all = append(all, node+","+strings.Join(page, ","))
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
	ctx, cancel := s.fence.whileCurrent(ctx, conn) // a replaced primary sends no broadcasts of the new one
	defer cancel()
	for {
		notification, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		s.stale.receive(notification.Payload)
	}
}

// receive invalidates the sessions changed or ended by another node. A node receives its own broadcasts too, and
// ignores them.
func (c *staleCache) receive(payload string) {
	node, names, _ := strings.Cut(payload, ",")
	if node == c.node {
		return
	}
	for name := range strings.SplitSeq(names, ",") {
		if user, ok := strings.CutPrefix(name, userPrefix); ok {
			if id, err := strconv.ParseInt(user, 10, 64); err == nil {
				c.invalidateUser(id)
			}
			continue
		}
		if id, ok := token.ParseSessionID(name); ok {
			c.invalidate(id)
		}
	}
}
