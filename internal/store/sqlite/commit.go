package sqlite

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

// write is one step of a batch. A rotation, the hot path, has its own fields;
// every other step is a function.
type write struct {
	rotation authority.Rotation
	session  authority.Session
	moved    bool

	run   func(*sqlite.Conn, *removed) error // nil for a rotation
	gone  removed                            // what run removed
	apply func()                             // brings memory up to date after the commit; may be nil
	ends  bool                               // takes something away, and may use the reserve for it

	err error
}

// write runs one step and returns when it is durable. The step goes on if ctx
// ends; what run and apply write to must not be touched then.
func (s *Store) write(ctx context.Context, run func(*sqlite.Conn, *removed) error, apply func()) error {
	return s.do(ctx, write{run: run, apply: apply})
}

// end is write for a step that takes something away: it has to work on a full
// disk too. There it may run twice.
func (s *Store) end(ctx context.Context, run func(*sqlite.Conn, *removed) error, apply func()) error {
	return s.do(ctx, write{run: run, apply: apply, ends: true})
}

func (s *Store) do(ctx context.Context, w write) error {
	op := &batch.Op[write]{Value: w}
	if err := s.group.Do(ctx, op); err != nil {
		return fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
	}
	return op.Value.err
}

// try makes a batch durable with one flush, and returns the error of the whole
// of it. It is called by one goroutine at a time, the committer, which owns the
// writer, the log and pending. Memory follows the disk before any caller hears
// of it.
func (s *Store) try(ops []*batch.Op[write]) error {
	log := s.log
	err := s.transaction(ops, &log)
	s.clearPending()
	if err == nil {
		s.log = log
	}
	for _, op := range ops {
		w := &op.Value
		if w.err == nil {
			w.err = err
		}
		if w.err != nil {
			continue
		}
		s.memory.forget(&w.gone)
		if w.moved {
			e := pack(w.session)
			s.memory.put(&e)
		}
		if w.apply != nil {
			w.apply()
		}
	}
	return err
}

// clearPending forgets what the batch changed. A map keeps the places that it
// once had, so the one of a batch that ended very many is let go.
func (s *Store) clearPending() {
	if len(s.pending) > 4*batchSize {
		s.pending = map[token.SessionID]entry{}
	}
	clear(s.pending)
}

// transaction runs the steps. An error is of the whole batch, and then none of
// them happened; a step's own error is kept in the step, and undoes it alone.
func (s *Store) transaction(ops []*batch.Op[write], log *stepLog) error {
	if err := s.exec("BEGIN IMMEDIATE"); err != nil {
		return s.failed(err)
	}
	err := s.steps(ops, log)
	if err == nil {
		err = s.exec("COMMIT")
	}
	if err != nil {
		s.rollback()
	}
	return s.failed(err)
}

func (s *Store) steps(ops []*batch.Op[write], log *stepLog) error {
	for _, op := range ops {
		w := &op.Value
		if w.run == nil {
			if err := s.rotate(w, log); err != nil {
				return err
			}
			continue
		}
		if err := s.step(w); err != nil {
			return err
		}
		for _, id := range w.gone.sessions {
			if err := s.record(&entry{id: id}, log); err != nil {
				return err
			}
		}
	}
	if log.added == 0 {
		return nil
	}
	return log.shorten(s.writer, s.memory.count.Load(), func(e *entry) bool {
		if _, newer := s.pending[e.id]; newer {
			return false
		}
		now, ok := s.memory.peek(&e.id)
		return ok && now.generation == e.generation
	})
}

// record notes a session's new state, for the log and for later steps of the
// batch. One that ended has generation 0.
func (s *Store) record(e *entry, log *stepLog) error {
	s.pending[e.id] = *e
	return log.add(s.writer, e)
}

// current returns a session as the batch has it so far, or ErrNotFound.
func (s *Store) current(id token.SessionID) (authority.Session, error) {
	e, ok := s.pending[id]
	if !ok {
		e, ok = s.memory.peek(&id)
	}
	switch {
	case !ok:
		return selectSession(s.writer, id)
	case e.generation == 0:
		return authority.Session{}, fault.ErrNotFound
	}
	return e.unpack(), nil
}

// rotate is the compare-and-swap. It returns an error only if the whole
// transaction is lost.
func (s *Store) rotate(w *write, log *stepLog) error {
	r, now := &w.rotation, &w.session
	*now, w.err = s.current(r.Session)
	switch {
	case errors.Is(w.err, fault.ErrNotFound):
		return nil // the step's own outcome
	case w.err != nil:
		return w.err
	case now.Generation != r.From:
		return nil
	}
	now.Generation++
	now.Previous, now.Refreshed, now.Expires, now.IdempotencyKey = now.Refreshed, r.At, min(r.Expires, now.Ends), r.IdempotencyKey
	w.moved = true
	e := pack(*now)
	return s.record(&e, log)
}

// step runs any other step, and undoes it alone if it fails. It returns an
// error only if the whole transaction is lost.
func (s *Store) step(w *write) error {
	if err := s.exec("SAVEPOINT step"); err != nil {
		return err
	}
	if err := w.run(s.writer, &w.gone); err != nil {
		w.err, w.gone = explain(err), removed{}
		if s.writer.AutocommitEnabled() || isFull(err) {
			return err // SQLite rolled all of it back, or the batch is tried with less
		}
		s.tell(err)
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
