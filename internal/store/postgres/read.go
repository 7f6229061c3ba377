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

// lookup is one caller's read of one row.
type lookup[K comparable, V any] struct {
	key   K
	value V
	err   error
}

// readBatch answers many lookups with one query. The query begins after each
// of them was asked for, so that none is answered from before it. If its
// connection is found dead it is sent once more. A nil m does not measure it.
func readBatch[K comparable, V any](s *Store, m *metrics.Metrics, read func(context.Context, *pgx.Conn, []K) (map[K]V, error)) func([]*batch.Op[lookup[K, V]]) {
	return func(ops []*batch.Op[lookup[K, V]]) {
		start := time.Now()
		defer func() { m.StoreRead(len(ops), time.Since(start)) }()
		keys := make([]K, len(ops))
		for i, op := range ops {
			keys[i] = op.Value.key
		}
		var found map[K]V
		once := func() error {
			return s.on(context.Background(), shortTimeout, func(ctx context.Context, conn *pgx.Conn) (err error) {
				found, err = read(ctx, conn, keys)
				return err
			})
		}
		err := once()
		if err != nil && mayRetry(err) {
			err = once()
		}
		err = explain(err)
		for _, op := range ops {
			value, there := found[op.Value.key]
			op.Value.value, op.Value.err = value, err
			if err == nil && !there {
				op.Value.err = fault.ErrNotFound
			}
		}
	}
}

// look asks a group for one row.
func look[K comparable, V any](ctx context.Context, group *batch.Group[lookup[K, V]], key K) (V, error) {
	op := &batch.Op[lookup[K, V]]{Value: lookup[K, V]{key: key}}
	if err := group.Do(ctx, op); err != nil {
		var none V
		return none, fmt.Errorf("%w: %w", fault.ErrUnavailable, err)
	}
	return op.Value.value, op.Value.err
}

const (
	userColumns    = "u.id, u.login, u.email, u.first_name, u.last_name, u.network_id, u.mailbox_id, u.level, u.status, u.created"
	sessionColumns = "s.id, s.user_id, s.generation, s.created, s.refreshed, s.previous, s.expires, s.ends, s.idempotency_key"
	liveColumns    = sessionColumns + ", " + userColumns
	fromLive       = " FROM pawl.session s JOIN pawl.users u ON u.id = s.user_id WHERE s.id = ANY ($1) AND u.status < $2"
	keyColumns     = "k.id, k.user_id, k.visibility, k.is_primary, k.session_id, k.mask, k.created"
)

func userFields(u *authority.User) []any {
	return []any{&u.ID, &u.Login, &u.Email, &u.FirstName, &u.LastName, &u.NetworkID, &u.MailboxID, (*uint8)(&u.Level), (*uint8)(&u.Status), &u.Created}
}

func scanUser(row pgx.Row, more ...any) (*authority.User, error) {
	u := new(authority.User)
	err := row.Scan(append(userFields(u), more...)...)
	return u, err
}

// sessionFields are where a row's columns go; the retry key has no fixed length.
func sessionFields(s *authority.Session, retryKey *[]byte) []any {
	return []any{(*[16]byte)(&s.ID), &s.UserID, &s.Generation, &s.Created, &s.Refreshed, &s.Previous, &s.Expires, &s.Ends, retryKey}
}

func scanLive(row pgx.Row, more ...any) (authority.SessionWithUser, error) {
	live := authority.SessionWithUser{User: new(authority.User)}
	var retryKey []byte
	fields := append(sessionFields(&live.Session, &retryKey), userFields(live.User)...)
	err := row.Scan(append(fields, more...)...)
	copy(live.Session.IdempotencyKey[:], retryKey)
	return live, err
}

func scanKey(row pgx.Row, more ...any) (k authority.APIKey, err error) {
	var session *[16]byte
	err = row.Scan(append([]any{&k.ID, &k.UserID, (*uint8)(&k.Visibility), &k.Primary, &session, &k.Mask, &k.Created}, more...)...)
	if session != nil {
		k.Session = *session
	}
	return k, err
}

func readSessions(ctx context.Context, conn *pgx.Conn, ids []token.SessionID) (map[token.SessionID]authority.SessionWithUser, error) {
	found := make(map[token.SessionID]authority.SessionWithUser, len(ids))
	wanted := make([][16]byte, len(ids)) // a SessionID itself would go as text
	for i, id := range ids {
		wanted[i] = id
	}
	rows, err := conn.Query(ctx, "SELECT "+liveColumns+fromLive, wanted, int64(authority.Suspended))
	return found, each(rows, err, func(rows pgx.Rows) error {
		live, err := scanLive(rows)
		found[live.Session.ID] = live
		return err
	})
}

// keyAndUser is a key and whose it is.
type keyAndUser struct {
	key  authority.APIKey
	user *authority.User
}

func readKeys(ctx context.Context, conn *pgx.Conn, hashes []authority.APIKeyHash) (map[authority.APIKeyHash]keyAndUser, error) {
	found := make(map[authority.APIKeyHash]keyAndUser, len(hashes))
	wanted := make([][]byte, len(hashes))
	for i := range hashes {
		wanted[i] = hashes[i][:]
	}
	rows, err := conn.Query(ctx, "SELECT "+keyColumns+", k.hash, "+userColumns+` FROM pawl.api_key k JOIN pawl.users u ON u.id = k.user_id
		WHERE k.hash = ANY ($1)`, wanted)
	return found, each(rows, err, func(rows pgx.Rows) error {
		user := new(authority.User)
		var hash []byte
		key, err := scanKey(rows, append([]any{&hash}, userFields(user)...)...)
		if err == nil {
			found[authority.APIKeyHash(hash)] = keyAndUser{key, user}
		}
		return err
	})
}

// readReady says that the database can be written to, or is an error.
func readReady(ctx context.Context, conn *pgx.Conn, _ []struct{}) (map[struct{}]bool, error) {
	var readOnly bool
	err := conn.QueryRow(ctx, "SELECT current_setting('transaction_read_only')::boolean").Scan(&readOnly)
	if err == nil && readOnly {
		err = &pgconn.PgError{Severity: "ERROR", Code: codeReadOnly, Message: "the database has become read-only"}
	}
	return map[struct{}]bool{{}: true}, err
}

// retryBytes stores the zero key as nothing.
func retryBytes(k authority.IdempotencyKeyHash) []byte {
	if k == (authority.IdempotencyKeyHash{}) {
		return []byte{}
	}
	return k[:]
}
