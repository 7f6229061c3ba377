package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/storecopy"
)

// The SQLSTATEs distinguished by this package (PostgreSQL, appendix A).
const (
	codeNotSupported          = "0A000" // also a prepared statement after a change of a column; pgx prepares it again
	codeReadOnly              = "25006"
	codeInvalidAuthorization  = "28000"
	codeInvalidPassword       = "28P01"
	codeForeignKeyViolation   = "23503"
	codeUniqueViolation       = "23505"
	codeUndefinedDatabase     = "3D000"
	codeSerializationFailure  = "40001"
	codeUnknownOutcome        = "40003" // from a distributed engine: the commit may have happened
	codeDeadlock              = "40P01"
	codeUndefinedTable        = "42P01"
	codeInsufficientPrivilege = "42501"
	codeUndefinedFunction     = "42883"
	codeInternal              = "XX000" // from Citus also for a shard that does not exist
	codeUndefinedObject       = "42704" // a type that does not exist, for example
)

var (
	// unavailableCodes are the SQLSTATEs, or classes of them, of a database that cannot serve at present. An operator
	// has to act, and Pawl has no fault.
	unavailableCodes = []string{
		"08", codeNotSupported, "25", "28", "3D", "3F", "40", codeInsufficientPrivilege, codeUndefinedTable,
		"53", "55", "57", "58", "XX",
	}
	// retryCodes are the SQLSTATEs, or classes of them, after which another try may succeed.
	retryCodes = []string{
		codeSerializationFailure, codeDeadlock, codeUnknownOutcome, codeReadOnly, codeNotSupported, "08", "57P",
	}
	conflictCodes = []string{codeSerializationFailure, codeDeadlock}
)

// explain turns an error of pgx into an error of the Store's contract. An error without a SQLSTATE comes from the
// connection.
func explain(err error) error {
	switch {
	case err == nil, isContract(err):
		return err
	case errors.Is(err, pgx.ErrNoRows):
		return fault.ErrNotFound
	}
	refused, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && refused.Code == codeUniqueViolation && violates(refused, "users_external_id"):
		return fault.ErrExternalIDTaken
	case ok && refused.Code == codeUniqueViolation:
		return fault.ErrDuplicate
	case ok && refused.Code == codeForeignKeyViolation:
		return fault.ErrNotFound // another call has deleted the row since
	case ok && !hasAnyPrefix(refused.Code, unavailableCodes):
		return err
	}
	return fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
}

// violates reports whether an error is about a constraint. Citus passes on an error of a worker without the field for
// the name of the constraint, and adds the number of a shard to the name.
func violates(refused *pgconn.PgError, constraint string) bool {
	return strings.HasPrefix(refused.ConstraintName, constraint) ||
		refused.ConstraintName == "" && strings.Contains(refused.Message, constraint)
}

// isContract reports whether an error is one of the Store's contract already.
func isContract(err error) bool {
	for _, known := range []error{
		fault.ErrNotFound, fault.ErrActorEnded, fault.ErrRightsChanged, fault.ErrLastRoot, fault.ErrAssertionUsed,
		fault.ErrHasAdministrator, fault.ErrReceiversFull, fault.ErrDuplicate, storecopy.ErrNotEmpty,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// mayRetry reports whether a statement that is safe to repeat should be tried again: after a conflict with another
// transaction, if the statement has to be prepared again, and if a broken connection leaves the outcome unknown.
func mayRetry(err error) bool {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return hasAnyPrefix(refused.Code, retryCodes)
	}
	return !errors.Is(err, context.Canceled)
}

// isConflict reports whether PostgreSQL has rolled back a transaction because of another one.
func isConflict(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && hasAnyPrefix(refused.Code, conflictCodes)
}

func hasAnyPrefix(code string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(code, prefix) })
}
