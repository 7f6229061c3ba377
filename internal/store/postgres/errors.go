package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/storecopy"
)

// The SQLSTATEs that are told apart (PostgreSQL, appendix A).
const (
	codeNotSupported          = "0A000" // of a statement that was prepared before a column was changed; pgx prepares it anew
	codeReadOnly              = "25006"
	codeForeignKeyViolation   = "23503"
	codeUniqueViolation       = "23505"
	codeSerializationFailure  = "40001"
	codeUnknownOutcome        = "40003" // of a distributed engine: the commit may have happened
	codeDeadlock              = "40P01"
	codeUndefinedTable        = "42P01"
	codeInsufficientPrivilege = "42501"
	codeUndefinedFunction     = "42883"
)

// unavailable are the SQLSTATEs, or their classes, that say that the database
// cannot serve now: what an operator mends, and not a fault of ours.
var unavailable = []string{"08", codeNotSupported, "25", "28", "3D", "3F", "40", codeInsufficientPrivilege, codeUndefinedTable, "53", "55", "57", "58", "XX"}

// explain turns an error of pgx into one of the Store's contract. What is no
// SQLSTATE at all comes from the connection.
func explain(err error) error {
	switch {
	case err == nil, errors.Is(err, fault.ErrNotFound), errors.Is(err, storecopy.ErrNotEmpty):
		return err
	case errors.Is(err, pgx.ErrNoRows):
		return fault.ErrNotFound
	}
	refused, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && refused.Code == codeUniqueViolation:
		return fault.ErrDuplicate
	case ok && refused.Code == codeForeignKeyViolation:
		return fault.ErrNotFound // it went while this step began
	case ok && !hasAnyPrefix(refused.Code, unavailable):
		return err
	}
	return fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
}

// mayRetry reports whether a step that is safe to repeat should be: after a
// conflict with another node, when a statement has to be prepared anew, and when
// the connection died, so that nobody knows whether it happened.
func mayRetry(err error) bool {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return hasAnyPrefix(refused.Code, []string{codeSerializationFailure, codeDeadlock, codeUnknownOutcome, codeReadOnly, codeNotSupported, "08", "57P"})
	}
	return !errors.Is(err, context.Canceled)
}

// isConflict reports whether PostgreSQL undid a transaction because of another:
// nothing happened, and it may be run again.
func isConflict(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (refused.Code == codeSerializationFailure || refused.Code == codeDeadlock)
}

func hasAnyPrefix(code string, prefixes []string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(code, prefix) {
			return true
		}
	}
	return false
}
