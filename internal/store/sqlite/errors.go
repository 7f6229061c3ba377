package sqlite

import (
	"context"
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/storecopy"
)

// failed counts an error. If the disk or an ended context caused the error, failed marks it as ErrUnavailable.
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

// countFailure counts an error, unless it is a regular result of a method.
func (s *Store) countFailure(err error) {
	regular := errors.Is(err, fault.ErrNotFound) || errors.Is(err, fault.ErrDuplicate) ||
		errors.Is(err, fault.ErrActorEnded) || errors.Is(err, fault.ErrRightsChanged) ||
		errors.Is(err, fault.ErrLastRoot) || errors.Is(err, fault.ErrAssertionUsed) ||
		errors.Is(err, fault.ErrHasAdministrator) || errors.Is(err, fault.ErrReceiversFull) ||
		errors.Is(err, storecopy.ErrNotEmpty)
	if !regular {
		s.metrics.StoreError()
	}
}

// orInterrupted returns an error that names what has ended ctx, such as a signal, because SQLite would report an
// unreadable file. If ctx has not ended, it returns err. state completes the message.
func orInterrupted(ctx context.Context, err error, state string) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("interrupted: %w%s", context.Cause(ctx), state)
}

// isFull reports whether the disk is full.
func isFull(err error) bool {
	code := sqlite.ErrCode(err)
	return code.ToPrimary() == sqlite.ResultFull || code == sqlite.ResultIOErrSHMSize
}

// unique turns the violation of a UNIQUE constraint into ErrDuplicate.
func unique(err error) error {
	switch sqlite.ErrCode(err) {
	case sqlite.ResultConstraintUnique, sqlite.ResultConstraintPrimaryKey, sqlite.ResultConstraintRowID:
		return fault.ErrDuplicate
	}
	return err
}
