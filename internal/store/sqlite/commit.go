package sqlite

import (
	"context"
	"fmt"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/sessionlog"
	"github.com/pawlauth/pawl/internal/store/batch"
)

// This file follows a commit in the order of its execution. Callers submit operations. commit carries out a batch of
// them in one transaction: BEGIN, each operation, the records of the rotation log, its compaction, COMMIT. Then it
// brings the memory up to date. When commit returns, the group answers the callers.

// operation is one caller's part of a batch: a rotation, or a function that changes the database.
type operation struct {
	rotation authority.Rotation
	extras   *authority.SessionExtras // of the session to rotate
	session  authority.Session        // result of the rotation
	rotated  bool                     // result of the rotation

	run     func(*change) error // nil for a rotation
	urgency urgency
	change  *change // made by run; nil if run failed

	err error
}

// urgency decides whether an operation may use the reserve when the disk is full.
type urgency uint8

const (
	normal urgency = iota
	urgent         // ends access, so it has to work on a full disk too
)

// tx runs an operation in the transaction of a batch, and returns its result as soon as the transaction is durable. If
// an operation returns an error, it changes nothing.
//
// If ctx ends while a commit runs, tx returns early, and the operation continues. So run must not write to variables of
// the caller of tx, and must return its result instead. On a full disk, a revocation may run twice.
func tx[T any](ctx context.Context, s *Store, u urgency, run func(*change) (T, error)) (T, error) {
	result := new(T)
	op := &batch.Op[operation]{Weight: changeWeight, Value: operation{urgency: u, run: func(c *change) error {
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

// write is tx for an operation without a result.
func (s *Store) write(ctx context.Context, u urgency, run func(*change) error) error {
	return s.submit(ctx, &batch.Op[operation]{Weight: changeWeight, Value: operation{urgency: u, run: run}})
}

func (s *Store) submit(ctx context.Context, op *batch.Op[operation]) error {
	if err := s.group.Do(ctx, op); err != nil {
		return fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
	}
	return op.Value.err
}

// commit carries out a batch. If the reserve is missing, or the disk turns out to be full, commit carries out only the
// revocations, and lets them use the space of the reserve.
func (s *Store) commit(ops []*batch.Op[operation]) {
	start := time.Now()
	defer func() { s.metrics.StoreCommit(len(ops), time.Since(start)) }()
	err := s.reserve.ensure()
	if err != nil {
		s.countFailure(err)
	} else if err = s.transact(ops); !isFull(err) {
		if err == nil {
			s.reserve.full.Store(false)
		}
		return
	}
	s.reserve.full.Store(true)
	var revocations []*batch.Op[operation]
	for _, op := range ops {
		if op.Value.urgency == urgent {
			revocations = append(revocations, op)
		} else {
			op.Value.err = err
		}
	}
	if len(revocations) == 0 {
		return
	}
	if s.reserve.complete { // If it is released already, do not postpone its restoration.
		s.reserve.release()
	}
	_ = s.transact(revocations) // Each operation has the error.
}

// transact carries out operations in one transaction. If the transaction fails, nothing has changed, and each operation
// has the error returned by transact.
func (s *Store) transact(ops []*batch.Op[operation]) error {
	sessions := s.sessions.Begin()
	err := execute(s.writer, "BEGIN IMMEDIATE")
	if err == nil {
		err = s.walMark.begin(s.writer, slices.ContainsFunc(ops, isChange))
	}
	for i := 0; i < len(ops) && err == nil; i++ {
		op := &ops[i].Value
		if op.run == nil {
			op.err = s.checkAPIKey(ops[:i], op, sessions)
			if op.err == nil {
				op.rotate(sessions)
			}
		} else {
			err = s.runInSavepoint(op, sessions)
		}
	}
	if err == nil {
		err = sessions.Write(logRows{s.writer})
	}
	if err == nil {
		err = s.walMark.beforeCommit(s.writer)
	}
	if err == nil {
		err = execute(s.writer, "COMMIT")
	}
	if err != nil {
		if !s.writer.AutocommitEnabled() {
			_ = execute(s.writer, "ROLLBACK") // fails only if SQLite has already rolled back
		}
		err = s.failed(err)
		for _, op := range ops {
			op.Value.err = err
		}
		return err
	}
	if s.walMark.committed() {
		s.writeWALMark()
	}
	sessions.Apply()
	for _, op := range ops {
		if op.Value.change != nil {
			op.Value.change.updateCaches(s)
		}
	}
	s.publish(ops)
	return nil
}

// publish sends the changes of a commit to the feed. The memory is up to date already, so that a question asked after
// the event gets the new state, and no caller has its answer yet.
func (s *Store) publish(ops []*batch.Op[operation]) {
	if !s.feed.Active() {
		return
	}
	changes := make([]revocation.Change, 0, len(ops))
	for _, op := range ops {
		if o := &op.Value; o.rotated {
			changes = append(changes, revocation.SessionRotated(o.session.ID, o.session.Generation))
		} else if o.change != nil {
			changes = append(changes, o.change.revoked(s.feed.Second())...)
		}
	}
	s.feed.Publish(changes)
}

// isChange reports whether an operation is not a rotation. The rotations of a batch are a small commit.
func isChange(op *batch.Op[operation]) bool { return op.Value.run != nil }

// writeWALMark writes the mark of the write-ahead log in a commit of its own. After an error, the next commit of
// operations writes it.
func (s *Store) writeWALMark() {
	err := execute(s.writer, "BEGIN IMMEDIATE")
	if err == nil {
		err = s.walMark.begin(s.writer, false)
	}
	if err == nil {
		err = s.walMark.beforeCommit(s.writer)
	}
	if err == nil {
		err = execute(s.writer, "COMMIT")
	}
	if err != nil {
		_ = execute(s.writer, "ROLLBACK") // fails if no transaction has begun
		return
	}
	s.walMark.committed()
}

// rotate is the compare-and-swap.
func (op *operation) rotate(sessions *sessionlog.Batch) {
	r := &op.rotation
	state, exists := sessions.Get(r.Session)
	if !exists {
		op.err = fault.ErrNotFound
		return
	}
	op.rotated = r.Rotates(&state.Session)
	if op.rotated {
		state.Extras = op.extras
		state.Session = r.Apply(state.Session)
		sessions.Put(state)
	}
	op.session = state.Session
}

// runInSavepoint runs an operation. If the operation fails, only its own changes are undone. runInSavepoint returns an
// error only if the whole transaction has failed.
func (s *Store) runInSavepoint(op *operation, sessions *sessionlog.Batch) error {
	if err := execute(s.writer, "SAVEPOINT operation"); err != nil {
		return err
	}
	op.change = &change{conn: s.writer, sessions: sessions}
	op.err = op.run(op.change)
	if op.err == nil {
		op.change.updateSessions()
		return execute(s.writer, "RELEASE operation")
	}
	op.change = nil
	if s.writer.AutocommitEnabled() || isFull(op.err) {
		return op.err // SQLite has rolled back the transaction, or commit has to try again with the revocations.
	}
	op.err = s.failed(op.err)
	if err := execute(s.writer, "ROLLBACK TO operation"); err != nil {
		return err
	}
	return execute(s.writer, "RELEASE operation")
}

// logRows implements sessionlog.Rows on the table rotation_log.
type logRows struct{ conn *sqlite.Conn }

func (r logRows) List() ([]sessionlog.Position, error) {
	return queryAll(r.conn, "SELECT slot, seq FROM rotation_log", nil, func(stmt *sqlite.Stmt) sessionlog.Position {
		return sessionlog.Position{Slot: stmt.ColumnInt64(0), Seq: stmt.ColumnInt64(1)}
	})
}

func (r logRows) Read(slot int64, buffer []byte) ([]byte, error) {
	err := query(r.conn, "SELECT records FROM rotation_log WHERE slot = ?", args{slot}, func(stmt *sqlite.Stmt) {
		length := len(buffer)
		buffer = append(buffer, make([]byte, stmt.ColumnLen(0))...)
		stmt.ColumnBytes(0, buffer[length:])
	})
	return buffer, err
}

// Write overwrites the row in place, because all rows have the same size.
func (r logRows) Write(p sessionlog.Position, blob []byte) error {
	err := execute(r.conn, "UPDATE rotation_log SET seq = ?, records = ? WHERE slot = ?", p.Seq, blob, p.Slot)
	if err != nil || r.conn.Changes() > 0 {
		return err
	}
	return execute(r.conn, "INSERT INTO rotation_log (slot, seq, records) VALUES (?, ?, ?)", p.Slot, p.Seq, blob)
}
