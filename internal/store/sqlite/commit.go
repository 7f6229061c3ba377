package sqlite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/sessionlog"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/token"
)

// This file has a commit in the order of its execution: callers submit operations; commit gathers them into one
// transaction, makes it durable, and brings memory up to date. The callers are answered when commit returns.

// operation is one caller's part of a batch: a rotation, which is the hot path, or a function.
type operation struct {
	rotation authority.Rotation
	session  authority.Session // the session after the operation
	rotated  bool

	run     func(*change) error // nil for a rotation
	urgency urgency
	change  *change // of the last call of run, if it succeeded

	err error
}

// urgency decides which operations may use the reserve when the disk is full.
type urgency uint8

const (
	normal     urgency = iota
	revocation         // takes access away, so it has to work on a full disk
)

// change is the transaction as one operation sees it, and what the operation changed in it. Memory follows these
// changes after the commit.
type change struct {
	conn     *sqlite.Conn
	sessions *sessionlog.Batch // as the earlier operations of the batch left them

	opened         []authority.Session
	ended          []token.SessionID
	deletedAPIKeys []authority.APIKeyHash
	user           *authority.User // the user that changed, or nil
	deletedUsers   bool            // all users were deleted
}

// tx runs a function inside the transaction of a batch, and returns its result when the transaction is durable. A
// function that returns an error changes nothing.
//
// If ctx ends before that, tx returns an error, and the function may still run. So the function must not write to
// variables of its caller: it returns its result. On a full disk, a revocation may run twice.
func tx[T any](ctx context.Context, s *Store, u urgency, run func(*change) (T, error)) (T, error) {
	result := new(T)
	op := &batch.Op[operation]{Value: operation{urgency: u, run: func(c *change) error {
		var err error
		*result, err = run(c)
		return err
	}}}
	var none T
	if err := s.submit(ctx, op); err != nil {
		return none, err
	}
	return *result, nil
}

// write is tx for a function that has no result.
func (s *Store) write(ctx context.Context, u urgency, run func(*change) error) error {
	return s.submit(ctx, &batch.Op[operation]{Value: operation{urgency: u, run: run}})
}

func (s *Store) submit(ctx context.Context, op *batch.Op[operation]) error {
	if err := s.group.Do(ctx, op); err != nil {
		return fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
	}
	return op.Value.err
}

// commit carries out a batch. While the reserve is missing, or if the disk turns out to be full, it carries out only
// the revocations, which may use the space of the reserve.
func (s *Store) commit(ops []*batch.Op[operation]) {
	start := time.Now()
	defer func() { s.metrics.StoreCommit(len(ops), time.Since(start)) }()
	err := s.reserve.ensure()
	if err != nil {
		s.countFailure(err)
	} else if err = s.transact(ops); !isFull(err) {
		return
	}
	var revocations []*batch.Op[operation]
	for _, op := range ops {
		if op.Value.urgency == revocation {
			revocations = append(revocations, op)
		} else {
			op.Value.err = err
		}
	}
	if len(revocations) == 0 {
		return
	}
	if s.reserve.complete { // Releasing it again would only postpone the next attempt to restore it.
		s.reserve.release()
	}
	_ = s.transact(revocations) // Each operation has the error.
}

// transact carries out operations in one transaction. If the transaction fails, nothing happened: transact returns the
// error, and each operation has it too. An error of an operation's own undoes only that operation.
func (s *Store) transact(ops []*batch.Op[operation]) error {
	sessions := s.sessions.Begin()
	err := execute(s.writer, "BEGIN IMMEDIATE")
	for i := 0; i < len(ops) && err == nil; i++ {
		if op := &ops[i].Value; op.run == nil {
			op.rotate(sessions)
		} else {
			err = s.runInSavepoint(op, sessions)
		}
	}
	if err == nil {
		err = sessions.Write(logRows{s.writer})
	}
	if err == nil {
		err = execute(s.writer, "COMMIT")
	}
	if err != nil {
		if !s.writer.AutocommitEnabled() {
			_ = execute(s.writer, "ROLLBACK") // fails only if SQLite has rolled back already
		}
		err = s.failed(err)
		for _, op := range ops {
			op.Value.err = err
		}
		return err
	}
	sessions.Apply()
	for _, op := range ops {
		if op.Value.change != nil {
			s.updateCaches(op.Value.change)
		}
	}
	return nil
}

// rotate is the compare-and-swap of a rotation.
func (op *operation) rotate(sessions *sessionlog.Batch) {
	r := &op.rotation
	session, exists := sessions.Get(r.Session)
	if !exists {
		op.err = fault.ErrNotFound
		return
	}
	op.rotated = session.Generation == r.From
	if op.rotated {
		session.Generation++
		session.Previous = session.Refreshed
		session.Refreshed = r.At
		session.Expires = min(r.Expires, session.Ends)
		session.IdempotencyKey = r.IdempotencyKey
		sessions.Put(session)
	}
	op.session = session
}

// runInSavepoint runs the function of an operation, and undoes what it did if it fails. The error that runInSavepoint
// returns is that of the whole transaction.
func (s *Store) runInSavepoint(op *operation, sessions *sessionlog.Batch) error {
	if err := execute(s.writer, "SAVEPOINT operation"); err != nil {
		return err
	}
	op.change = &change{conn: s.writer, sessions: sessions}
	op.err = op.run(op.change)
	if op.err != nil {
		if s.writer.AutocommitEnabled() || isFull(op.err) {
			return op.err // SQLite rolled the transaction back, or commit tries again with fewer operations.
		}
		op.err = s.failed(op.err)
		op.change = nil
		if err := execute(s.writer, "ROLLBACK TO operation"); err != nil {
			return err
		}
	} else {
		for _, session := range op.change.opened {
			sessions.Put(session)
		}
		for _, id := range op.change.ended {
			sessions.End(id)
		}
	}
	return execute(s.writer, "RELEASE operation")
}

// updateCaches brings the caches up to date with the changes of one operation.
func (s *Store) updateCaches(c *change) {
	for _, hash := range c.deletedAPIKeys {
		s.apiKeys.remove(hash)
	}
	if c.user != nil {
		s.users.put(c.user.ID, c.user)
	}
	if c.deletedUsers {
		s.users.clear()
	}
}

// deleteSessions deletes sessions, and the API keys that end with them.
func (c *change) deleteSessions(where string, a ...any) error {
	if err := c.deleteAPIKeys("session_id IN (SELECT id FROM session WHERE "+where+")", a...); err != nil {
		return err
	}
	ended, err := queryAll(c.conn, "DELETE FROM session WHERE "+where+" RETURNING id", a, scanSessionID)
	c.ended = append(c.ended, ended...)
	return err
}

func (c *change) deleteAPIKeys(where string, a ...any) error {
	deleted, err := queryAll(c.conn, "DELETE FROM api_key WHERE "+where+" RETURNING hash", a, scanAPIKeyHash)
	c.deletedAPIKeys = append(c.deletedAPIKeys, deleted...)
	return err
}

// failed counts an error, and marks it as ErrUnavailable if the disk caused it.
func (s *Store) failed(err error) error {
	if err == nil {
		return nil
	}
	s.countFailure(err)
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultFull, sqlite.ResultIOErr, sqlite.ResultReadOnly, sqlite.ResultCantOpen, sqlite.ResultBusy,
		sqlite.ResultInterrupt:
		return fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
	}
	return err
}

// countFailure counts an error of the store. The errors of its contract are no failures.
func (s *Store) countFailure(err error) {
	contract := errors.Is(err, fault.ErrNotFound) || errors.Is(err, fault.ErrDuplicate) ||
		errors.Is(err, storecopy.ErrNotEmpty)
	if !contract {
		s.metrics.StoreError()
	}
}
