package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/store/batch"
	"github.com/pawlauth/pawl/internal/token"
)

// lookup is one caller's read of one row in a batch.
type lookup[K comparable, V any] struct {
	key   K
	value V
	err   error
}

// lookUp reads one row in a batch.
func lookUp[K comparable, V any](ctx context.Context, group *batch.Group[lookup[K, V]], key K) (V, error) {
	op := &batch.Op[lookup[K, V]]{Value: lookup[K, V]{key: key}}
	return op.Value.result(group.Do(ctx, op))
}

// result returns the result of a lookup. err is that of the batch.
func (l *lookup[K, V]) result(err error) (V, error) {
	if err != nil {
		var zero V
		return zero, fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
	}
	return l.value, l.err
}

// readBatch returns a function that answers the lookups of a batch with one query. The query begins after all of its
// lookups, so that no lookup gets an earlier state. If the connection turns out to be broken, the query is sent again.
// A nil m does not count the batch.
func readBatch[K comparable, V any](
	s *Store, m *metrics.Metrics, read func(context.Context, *pgx.Conn, []K) (map[K]V, error),
) func([]*batch.Op[lookup[K, V]]) {
	return func(ops []*batch.Op[lookup[K, V]]) {
		start := time.Now()
		defer func() { m.StoreRead(len(ops), time.Since(start)) }()
		keys := make([]K, len(ops))
		for i, op := range ops {
			keys[i] = op.Value.key
		}
		try := func() (map[K]V, error) {
			return withConn(context.Background(), s, hotTimeout,
				func(ctx context.Context, conn *pgx.Conn) (map[K]V, error) { return read(ctx, conn, keys) })
		}
		found, err := try()
		if err != nil && mayRetry(err) {
			found, err = try()
		}
		err = explain(err)
		for _, op := range ops {
			value, ok := found[op.Value.key]
			op.Value.value, op.Value.err = value, err
			if err == nil && !ok {
				op.Value.err = fault.ErrNotFound
			}
		}
	}
}

func readSessions(
	ctx context.Context, conn *pgx.Conn, ids []token.SessionID,
) (map[token.SessionID]authority.SessionWithUser, error) {
	uuids := make([][16]byte, len(ids)) // pgx would send a SessionID as text
	for i, id := range ids {
		uuids[i] = id
	}
	scan := func(row pgx.CollectableRow) (token.SessionID, authority.SessionWithUser, error) {
		s, err := scanSessionWithUser(row)
		return s.Session.ID, s, err
	}
	return collectMap(ctx, conn, len(ids), scan, "SELECT "+sessionWithUserColumns+fromSessionWithUser,
		uuids, int64(authority.Suspended))
}

// apiKeyWithUser is an API key and its user.
type apiKeyWithUser struct {
	key  authority.APIKey
	user *authority.User
}

func readAPIKeys(
	ctx context.Context, conn *pgx.Conn, hashes []authority.APIKeyHash,
) (map[authority.APIKeyHash]apiKeyWithUser, error) {
	wanted := make([][]byte, len(hashes))
	for i := range hashes {
		wanted[i] = hashes[i][:]
	}
	scan := func(row pgx.CollectableRow) (authority.APIKeyHash, apiKeyWithUser, error) {
		user := new(authority.User)
		k, err := scanAPIKeyRecord(row, userFields(user)...)
		return k.Hash, apiKeyWithUser{key: k.APIKey, user: user}, err
	}
	return collectMap(ctx, conn, len(hashes), scan, "SELECT "+apiKeyColumns+", "+userColumns+
		fromLiveAPIKey+" AND k.hash = ANY ($1)", wanted)
}

// readReady returns an error unless the database can be written to.
func readReady(ctx context.Context, conn *pgx.Conn, _ []struct{}) (map[struct{}]bool, error) {
	var readOnly bool
	err := conn.QueryRow(ctx, "SELECT current_setting('transaction_read_only')::boolean").Scan(&readOnly)
	if err == nil && readOnly {
		err = &pgconn.PgError{Severity: "ERROR", Code: codeReadOnly, Message: "the database has become read-only"}
	}
	return map[struct{}]bool{{}: true}, err
}
