package postgres

import (
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/token"
)

// The columns of each kind of row, in the order in which the scan function of that kind reads them.
const (
	userColumns = "u.id, u.login, u.external_id, u.email, u.first_name, u.last_name, u.network_id, u.mailbox_id, " +
		"u.level, u.status, u.created"
	userWithHashColumns = userColumns + ", u.password_hash"

	sessionColumns = "s.id, s.user_id, s.generation, s.created, s.refreshed, s.previous, s.expires, " + idle +
		", s.ends, s.idempotency_key, s.address, s.claims, s.actor_id, s.token_life, s.idle_life"
	sessionWithOriginColumns = sessionColumns + ", s.ip, s.user_agent, s.device"
	sessionWithUserColumns   = sessionColumns + ", " + userColumns

	apiKeyColumns = "k.id, k.user_id, k.visibility, k.is_primary, k.session_id, k.mask, k.created, k.hash, " +
		"k.scope, k.max_level, k.name, k.expires"
)

// idle is when the current token of a session can no longer be refreshed. Sessions last rotated by the first version of
// Pawl have no idle time of their own.
const idle = "greatest(s.idle, s.expires)"

// raceBegan is authority.Session.raceBegan.
const raceBegan = "CASE WHEN s.previous BETWEEN s.refreshed AND s.refreshed + 120 THEN s.previous ELSE s.refreshed END"

// Sessions and API keys that have ended keep their rows until a sweep. Every statement that reads them uses one of
// these joins, which leave out the ended ones.
const (
	// fromLiveSession selects the sessions that have not ended, and their users.
	fromLiveSession = " FROM pawl.session s JOIN pawl.users u ON u.id = s.user_id AND u.session_epoch = s.epoch"
	// fromSessionWithUser selects the live sessions with the ids $1 whose users have a status below $2.
	fromSessionWithUser = fromLiveSession + " WHERE s.id = ANY ($1) AND u.status < $2"
	// fromLiveAPIKey selects the API keys whose session has not ended, and their users. A condition must follow. Only
	// the user of a session can create an API key for it, so that both have the same user. An API key has the epoch of
	// its session, and is deleted together with it.
	fromLiveAPIKey = " FROM pawl.api_key k JOIN pawl.users u ON u.id = k.user_id" +
		" WHERE (k.session_id IS NULL OR k.epoch = u.session_epoch)"
)

func userFields(u *authority.User) []any {
	return []any{
		&u.ID, &u.Login, &u.ExternalID, &u.Email, &u.FirstName, &u.LastName, &u.NetworkID, &u.MailboxID,
		(*uint8)(&u.Level), (*uint8)(&u.Status), &u.Created,
	}
}

func scanUser(row pgx.CollectableRow) (*authority.User, error) {
	u := new(authority.User)
	return u, row.Scan(userFields(u)...)
}

func scanUserWithHash(row pgx.CollectableRow) (u authority.UserWithHash, err error) {
	err = row.Scan(append(userFields(&u.User), &u.PasswordHash)...)
	return u, err
}

// sessionRow receives the columns of a session.
type sessionRow struct {
	session        authority.Session
	idempotencyKey []byte // may be empty
	claims         *string
	actorID        *int64
	tokenLife      *int64
	idleLife       *int64
}

// fields returns the fields of the row, with room for the columns that follow.
func (r *sessionRow) fields() []any {
	s := &r.session
	return append(make([]any, 0, 32),
		(*[16]byte)(&s.ID), &s.UserID, &s.Generation, &s.Created, &s.Refreshed, &s.Previous, &s.Expires, &s.Idle,
		&s.Ends, &r.idempotencyKey, (*uint32)(&s.Address), &r.claims, &r.actorID, &r.tokenLife, &r.idleLife)
}

// complete returns the scanned session.
func (r *sessionRow) complete() authority.Session {
	copy(r.session.IdempotencyKey[:], r.idempotencyKey)
	if r.claims != nil || r.actorID != nil || r.tokenLife != nil || r.idleLife != nil {
		r.session.Extras = &authority.SessionExtras{
			Claims: orZero(r.claims), ActorID: orZero(r.actorID),
			TokenLife: time.Duration(orZero(r.tokenLife)) * time.Second,
			IdleLife:  time.Duration(orZero(r.idleLife)) * time.Second,
		}
	}
	return r.session
}

// orZero returns the value of a column, and the zero value for NULL.
func orZero[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// extrasValues are the values of claims, actor_id, token_life and idle_life for a statement.
func extrasValues(e *authority.SessionExtras) []any {
	if e == nil {
		return []any{nil, nil, nil, nil}
	}
	return []any{
		orNull(e.Claims), orNull(e.ActorID), orNull(int64(e.TokenLife / time.Second)),
		orNull(int64(e.IdleLife / time.Second)),
	}
}

// orNull returns a value for a statement, and NULL for the zero value.
func orNull[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

func scanSessionWithOrigin(row pgx.CollectableRow) (s authority.SessionWithOrigin, err error) {
	var r sessionRow
	err = row.Scan(append(r.fields(), &s.IP, &s.UserAgent, &s.Device)...)
	s.Session = r.complete()
	return s, err
}

// scanSessionWithUser reads a session, its user, and the following columns into more.
func scanSessionWithUser(row pgx.CollectableRow, more ...any) (authority.SessionWithUser, error) {
	var r sessionRow
	user := new(authority.User)
	err := row.Scan(append(append(r.fields(), userFields(user)...), more...)...)
	return authority.SessionWithUser{Session: r.complete(), User: user}, err
}

// scanAPIKeyRecord reads an API key, and the following columns into more.
func scanAPIKeyRecord(row pgx.CollectableRow, more ...any) (k storecopy.APIKeyRecord, err error) {
	var session *[16]byte
	var hash []byte
	fields := []any{
		&k.ID, &k.UserID, (*uint8)(&k.Visibility), &k.Primary, &session, &k.Mask, &k.Created, &hash,
		(*uint8)(&k.Scope), (*uint8)(&k.MaxLevel), &k.Name, &k.Expires,
	}
	err = row.Scan(append(fields, more...)...)
	if session != nil {
		k.Session = *session
	}
	copy(k.Hash[:], hash)
	return k, err
}

func scanAPIKey(row pgx.CollectableRow) (authority.APIKey, error) {
	k, err := scanAPIKeyRecord(row)
	return k.APIKey, err
}

// sessionOrNull returns a session's id for a statement, or NULL for the zero id.
func sessionOrNull(id token.SessionID) *[16]byte {
	if id == (token.SessionID{}) {
		return nil
	}
	return (*[16]byte)(&id)
}

// idempotencyKeyBytes returns a hash for a statement; the zero hash is empty.
func idempotencyKeyBytes(k authority.IdempotencyKeyHash) []byte {
	if k == (authority.IdempotencyKeyHash{}) {
		return []byte{}
	}
	return k[:]
}
