package sqlite

import (
	"context"
	"fmt"
	"slices"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/batch"
)

// write is one step of a batch. A rotation, the hot path, has its own fields;
// every other step is a function.
type write struct {
	rotation authority.Rotation
	live     authority.Live
	moved    bool

	run   func(*sqlite.Conn) error // nil for a rotation
	apply func()                   // brings memory up to date after the commit; may be nil

	err error
}

// write runs one step and returns when it is durable. The step goes on if ctx
// ends; what run and apply write to must not be touched then.
func (s *Store) write(ctx context.Context, run func(*sqlite.Conn) error, apply func()) error {
	op := &batch.Op[write]{Value: write{run: run, apply: apply}}
	if err := s.group.Do(ctx, op); err != nil {
		return fmt.Errorf("%w: %w", authority.ErrUnavailable, err)
	}
	return op.Value.err
}

// commit makes a batch durable with one flush. It is called by one goroutine
// at a time, which owns the writer. Memory follows the disk before any caller
// hears of it.
func (s *Store) commit(ops []*batch.Op[write]) {
	err := s.transaction(ops)
	for _, op := range ops {
		w := &op.Value
		if w.err == nil {
			w.err = err
		}
		if w.err != nil {
			continue
		}
		if w.moved {
			s.memory.putSession(w.live.Session)
		}
		if w.apply != nil {
			w.apply()
		}
	}
}

// transaction runs the steps. An error is of the whole batch, and then none of
// them happened; a step's own error is kept in the step, and undoes it alone.
func (s *Store) transaction(ops []*batch.Op[write]) error {
	if !brokenFlush || s.writer.AutocommitEnabled() {
		if err := s.exec("BEGIN IMMEDIATE"); err != nil {
			return explain(err)
		}
	}
	for _, op := range ops {
		if err := s.step(&op.Value); err != nil {
			s.rollback()
			return explain(err)
		}
	}
	if brokenFlush && !slices.ContainsFunc(ops, func(op *batch.Op[write]) bool { return op.Value.run != nil }) {
		return nil // the next step of another kind commits it
	}
	if err := s.exec("COMMIT"); err != nil {
		s.rollback()
		return explain(err)
	}
	return nil
}

// step runs one step. It returns an error only if the whole transaction is lost.
func (s *Store) step(w *write) error {
	if w.run == nil {
		return s.rotate(w)
	}
	if err := s.exec("SAVEPOINT step"); err != nil {
		return err
	}
	if err := w.run(s.writer); err != nil {
		w.err = explain(err)
		if s.writer.AutocommitEnabled() {
			return err // SQLite rolled all of it back, as with a full disk
		}
		if err := s.exec("ROLLBACK TO step"); err != nil {
			return err
		}
	}
	return s.exec("RELEASE step")
}

// exec runs a statement that is prepared once.
func (s *Store) exec(sql string) error { return sqlitex.Execute(s.writer, sql, nil) }

func (s *Store) rollback() {
	if !s.writer.AutocommitEnabled() {
		_ = s.exec("ROLLBACK") // fails only if SQLite rolled back already
	}
}
