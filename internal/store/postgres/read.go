package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
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
		found, err := readTwice(s, s.hot, func(ctx context.Context, conn *pgx.Conn) (map[K]V, error) {
			return read(ctx, conn, keys)
		})
		for _, op := range ops {
			op.Value.set(found, err)
		}
	}
}

// set sets the result of a lookup from the rows of its batch.
func (l *lookup[K, V]) set(found map[K]V, err error) {
	value, ok := found[l.key]
	l.value, l.err = value, err
	if err == nil && !ok {
		l.err = fault.ErrNotFound
	}
}

// readTwice runs the query of a batch, and runs it again if the connection turns out to be broken.
func readTwice[T any](s *Store, at server, read func(context.Context, *pgx.Conn) (T, error)) (T, error) {
	found, err := withConnAt(context.Background(), s, at, hotTimeout, read)
	if err != nil && mayRetry(err) {
		found, err = withConnAt(context.Background(), s, at, hotTimeout, read)
	}
	return found, explain(err)
}

// sessionLookup is one caller's read of a session, and of an API key if the caller has both credentials.
type sessionLookup struct {
	lookup[token.SessionID, authority.SessionWithUser]
	apiKey *lookup[authority.APIKeyHash, apiKeyWithUser] // may be nil
}

type sessionOp = batch.Op[sessionLookup]

// credentialRows are the rows of a batch of sessionLookups.
type credentialRows struct {
	sessions map[token.SessionID]authority.SessionWithUser
	apiKeys  map[authority.APIKeyHash]apiKeyWithUser
}

// readSessionBatch is the batch of the checks. It reads the sessions and the API keys in one trip.
func (s *Store) readSessionBatch(sh *shard, ops []*sessionOp) {
	start := time.Now()
	defer func() { s.metrics.StoreRead(len(ops), time.Since(start)) }()
	ids := make([]token.SessionID, len(ops))
	var hashes []authority.APIKeyHash
	for i, op := range ops {
		ids[i] = op.Value.key
		if apiKey := op.Value.apiKey; apiKey != nil && !slices.Contains(hashes[max(0, len(hashes)-8):], apiKey.key) {
			hashes = append(hashes, apiKey.key) // most of a batch have the same API key, that of their gateway
		}
	}
	found, err := readTwice(s, sh.at, func(ctx context.Context, conn *pgx.Conn) (rows credentialRows, err error) {
		if len(hashes) > 0 {
			return readCredentials(ctx, conn, ids, hashes)
		}
		if sh.tables != nil {
			rows.sessions, err = sh.tables.readSessions(ctx, conn, ids)
			if !errors.Is(err, errShardMoved) {
				return rows, err
			}
			s.citus.lookAgain()
		}
		sql := sessionsSQL
		if s.citus != nil {
			sql = sessionsOfShardSQL
		}
		rows.sessions, err = readSessions(ctx, conn, sql, ids)
		return rows, err
	})
	for _, op := range ops {
		op.Value.set(found.sessions, err)
		if op.Value.apiKey != nil {
			op.Value.apiKey.set(found.apiKeys, err)
		}
	}
}

const (
	// sessionsSQL and apiKeysSQL hide the size of $1 from the planner, for the reason at selectRotations.
	sessionsSQL = "SELECT " + sessionWithUserColumns + fromLiveSession +
		" WHERE s.id = ANY ((SELECT $1::uuid[])::uuid[]) AND u.status < $2"
	apiKeysSQL = "SELECT " + apiKeyColumns + ", " + userColumns + fromLiveAPIKey +
		" AND k.hash = ANY ((SELECT $1::bytea[])::bytea[])"
	// sessionsOfShardSQL is sessionsSQL for the sessions of one shard. Citus finds the shard by the ids.
	sessionsOfShardSQL = "SELECT " + sessionWithUserColumns + fromSessionWithUser
)

// readCredentials reads sessions and API keys in one trip.
func readCredentials(
	ctx context.Context, conn *pgx.Conn, ids []token.SessionID, hashes []authority.APIKeyHash,
) (found credentialRows, err error) {
	var queries pgx.Batch
	queries.Queue(sessionsSQL, sessionsArgs(ids)...)
	queries.Queue(apiKeysSQL, apiKeysArgs(hashes)...)
	results := conn.SendBatch(ctx, &queries)
	rows, err := results.Query()
	if err == nil {
		found.sessions, err = toMap(rows, len(ids), scanSessionByID)
	}
	if err == nil {
		rows, err = results.Query()
	}
	if err == nil {
		found.apiKeys, err = toMap(rows, len(hashes), scanAPIKeyByHash)
	}
	return found, cmp.Or(err, results.Close())
}

func readSessions(
	ctx context.Context, conn *pgx.Conn, sql string, ids []token.SessionID,
) (map[token.SessionID]authority.SessionWithUser, error) {
	return collectMap(ctx, conn, len(ids), scanSessionByID, sql, sessionsArgs(ids)...)
}

func sessionsArgs(ids []token.SessionID) []any {
	uuids := make([][16]byte, len(ids)) // pgx would send a SessionID as text
	for i, id := range ids {
		uuids[i] = id
	}
	return []any{uuids, int64(authority.Suspended)}
}

func scanSessionByID(row pgx.CollectableRow) (token.SessionID, authority.SessionWithUser, error) {
	s, err := scanSessionWithUser(row)
	return s.Session.ID, s, err
}

// apiKeyWithUser is an API key and its user.
type apiKeyWithUser struct {
	key  authority.APIKey
	user *authority.User
}

func readAPIKeys(
	ctx context.Context, conn *pgx.Conn, hashes []authority.APIKeyHash,
) (map[authority.APIKeyHash]apiKeyWithUser, error) {
	return collectMap(ctx, conn, len(hashes), scanAPIKeyByHash, apiKeysSQL, apiKeysArgs(hashes)...)
}

func apiKeysArgs(hashes []authority.APIKeyHash) []any {
	wanted := make([][]byte, len(hashes))
	for i := range hashes {
		wanted[i] = hashes[i][:]
	}
	return []any{wanted}
}

func scanAPIKeyByHash(row pgx.CollectableRow) (authority.APIKeyHash, apiKeyWithUser, error) {
	user := new(authority.User)
	k, err := scanAPIKeyRecord(row, userFields(user)...)
	return k.Hash, apiKeyWithUser{key: k.APIKey, user: user}, err
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
