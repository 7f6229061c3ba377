package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/token"
)

// This file ends all sessions of a user in one step, however many there are. A session has the epoch of its user at the
// sign-in, and lives while the user has the same epoch. The step adds one to the epoch of the user's row, and queues
// the user for the purge, which later removes the rows of the ended sessions page by page.

// endEpochs completes the end of all sessions of a user except one, which may be zero. The transaction has added one to
// the user's epoch, and so holds the lock of the user's row.
func (s *Store) endEpochs(ctx context.Context, tx pgx.Tx, userID int64, except token.SessionID) error {
	const (
		// An already ended session remains ended.
		keep = `UPDATE pawl.session s SET epoch = u.session_epoch FROM pawl.users u
			WHERE s.id = $1 AND s.user_id = $2 AND u.id = s.user_id AND s.epoch = u.session_epoch - 1`
		queue = `INSERT INTO pawl.session_purge (user_id, epoch) SELECT id, session_epoch FROM pawl.users WHERE id = $1
			ON CONFLICT (user_id) DO UPDATE SET epoch = excluded.epoch`
	)
	const keepKeys = `UPDATE pawl.api_key k SET epoch = u.session_epoch FROM pawl.users u
		WHERE k.session_id = $1 AND k.user_id = $2 AND u.id = k.user_id AND k.epoch = u.session_epoch - 1`
	var statements pgx.Batch
	if except != (token.SessionID{}) {
		statements.Queue(keep, [16]byte(except), userID)
		statements.Queue(keepKeys, [16]byte(except), userID)
	}
	statements.Queue(queue, userID)
	if err := tx.SendBatch(ctx, &statements).Close(); err != nil {
		return err
	}
	return s.publish(ctx, tx, revocation.UserChanged(userID, s.feed.Second()))
}

// userEnded brings this node up to date after the sessions of a user have ended.
func (s *Store) userEnded(userID int64) {
	s.recent.userChanged(userID)
	s.signalEnded()
}

// Ended returns a channel that receives a value once this node has ended the sessions of a user.
func (s *Store) Ended() <-chan struct{} { return s.ended }

func (s *Store) signalEnded() {
	select {
	case s.ended <- struct{}{}:
	default: // the receiver has not seen an earlier value yet
	}
}

// purge is the state of this node's purge.
type purge struct {
	mu   sync.Mutex // guards last, and lets one page be purged at a time
	last purgedPage
}

// purgedPage is a page of removed sessions of a user.
type purgedPage struct {
	user    purgeUser // zero if no user is queued
	removed int
	last    sessionKey // the last removed session
}

// purgeUser is a row of session_purge.
type purgeUser struct {
	id    int64
	epoch int32
}

func scanPurgeUser(row pgx.CollectableRow) (u purgeUser, err error) {
	err = row.Scan(&u.id, &u.epoch)
	return u, err
}

// sessionKey orders the sessions of a user, as the index session_of_user does.
type sessionKey struct {
	epoch   int32
	created int64
	id      token.SessionID
}

func scanSessionKey(row pgx.CollectableRow) (k sessionKey, err error) {
	err = row.Scan(&k.epoch, &k.created, (*[16]byte)(&k.id))
	return k, err
}

// Purge removes a page of the sessions of a user whose epoch has ended. It leaves a locked session to a sweep.
func (s *Store) Purge(ctx context.Context, limit int) (removed int, done bool, err error) {
	s.purge.mu.Lock()
	defer s.purge.mu.Unlock()
	last := s.purge.last
	page, err := withTx(ctx, s, func(ctx context.Context, tx pgx.Tx) (purgedPage, error) {
		return s.purgePage(ctx, tx, last, limit)
	})
	if err != nil {
		return 0, false, err
	}
	s.purge.last = page
	return page.removed, page.user == purgeUser{}, nil
}

// purgePage removes the page after another one. A page does not begin with the user's first session, because the index
// still has the entries of the removed sessions until the next vacuum.
func (s *Store) purgePage(ctx context.Context, tx pgx.Tx, before purgedPage, limit int) (page purgedPage, err error) {
	const (
		// The lock of the row lets two nodes purge different users.
		claim = "SELECT user_id, epoch FROM pawl.session_purge ORDER BY user_id LIMIT 1 FOR UPDATE SKIP LOCKED"
		// An update of a locked session waits for the lock. The purge does not wait.
		remove = `WITH page AS MATERIALIZED (
				SELECT s.id FROM pawl.session s
				WHERE s.user_id = $1 AND s.epoch < $2 AND (s.epoch, s.created, s.id) > ($3, $4, $5)
				ORDER BY s.epoch, s.created, s.id LIMIT $6 FOR UPDATE SKIP LOCKED
			), removed AS (
				DELETE FROM pawl.session s USING page WHERE s.id = page.id RETURNING s.epoch, s.created, s.id
			)
			SELECT epoch, created, id FROM removed ORDER BY epoch DESC, created DESC, id DESC`
		finish = "DELETE FROM pawl.session_purge WHERE user_id = $1"
	)
	page.user, err = collectOne(ctx, tx, scanPurgeUser, claim)
	if errors.Is(err, pgx.ErrNoRows) {
		return purgedPage{}, nil
	}
	if err != nil {
		return page, err
	}
	after := sessionKey{epoch: -1}
	if page.user == before.user {
		after = before.last
	}
	args := []any{page.user.id, page.user.epoch, after.epoch, after.created, [16]byte(after.id), limit}
	var removed []sessionKey
	if s.citus != nil {
		removed, err = s.purgeShards(ctx, tx, args)
	} else {
		removed, err = collect(ctx, tx, scanSessionKey, remove, args...)
	}
	if err != nil {
		return page, err
	}
	page.removed = len(removed)
	if page.removed < limit {
		_, err = tx.Exec(ctx, finish, page.user.id)
		return page, err
	}
	page.last = removed[0]
	return page, nil
}

// purgeShards removes a page on Citus, where a statement that locks or deletes is for one shard. It returns the page
// from the last session to the first one.
func (s *Store) purgeShards(ctx context.Context, tx pgx.Tx, args []any) ([]sessionKey, error) {
	const (
		read = `SELECT s.epoch, s.created, s.id FROM pawl.session s
			WHERE s.user_id = $1 AND s.epoch < $2 AND (s.epoch, s.created, s.id) > ($3, $4, $5)
			ORDER BY s.epoch, s.created, s.id LIMIT $6`
		remove = "DELETE FROM pawl.session WHERE id = ANY ($1) AND user_id = $2 AND epoch < $3"
	)
	page, err := collect(ctx, tx, scanSessionKey, read, args...)
	if err != nil {
		return nil, err
	}
	ids := make([][16]byte, len(page))
	for i, key := range page {
		ids[i] = key.id
	}
	for _, group := range s.byShard(ids) {
		if _, err := tx.Exec(ctx, remove, group, args[0], args[1]); err != nil {
			return nil, err
		}
	}
	slices.Reverse(page)
	return page, s.deleteKeysOf(ctx, tx, ids)
}
