package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// A refresh with an API key needs one trip to the database: the statement of its batch checks the API keys too, and
// leaves out the rotations whose API key is not permitted. Many refreshes of a batch have the same API key, that of
// their gateway, so each check is made once.

// rotationCheck is a check of an API key at a time.
type rotationCheck struct {
	authority.APIKeyCheck
	at int64
}

// check returns the check of a rotation with an API key.
func (r *rotation) check() rotationCheck { return rotationCheck{APIKeyCheck: *r.APIKey, at: r.At} }

// andPermitted is the condition that the check of a rotation, if it has one, permits its API key. $10 has the ordinals
// of the checks, and 0 for none. The condition is that of authority.APIKeyCheck.Permits.
const andPermitted = ` AND ($10::bigint[])[n.ordinal] IN (
    SELECT 0 UNION ALL
    SELECT c.ordinal FROM unnest($11::bytea[], $12::bigint[], $13::bigint[], $14::bigint[])
      WITH ORDINALITY AS c (hash, at, scopes, user_id, ordinal)
    JOIN pawl.api_key k ON k.hash = c.hash
    JOIN pawl.users ku ON ku.id = k.user_id AND ku.status < $9
    LEFT JOIN pawl.session ks ON ks.id = k.session_id
    WHERE (k.expires = 0 OR c.at < k.expires) AND (c.scopes >> k.scope) & 1 = 1 AND c.user_id IN (0, ku.id)
      AND (k.session_id IS NULL OR ks.epoch = ku.session_epoch AND c.at < greatest(ks.idle, ks.expires)))`

// apiKeyChecks returns the arguments of andPermitted, or nil if no rotation of a batch has an API key.
func apiKeyChecks(ops []*rotationOp) []any {
	var ordinals map[rotationCheck]int64
	var ordinalOf []int64
	var hashes [][]byte
	var at, scopes, users []int64
	for i, op := range ops {
		if op.Value.APIKey == nil {
			continue
		}
		if ordinals == nil {
			ordinals = map[rotationCheck]int64{}
			ordinalOf = make([]int64, len(ops))
		}
		check := op.Value.check()
		ordinal, known := ordinals[check]
		if !known {
			ordinal = int64(len(hashes)) + 1
			ordinals[check] = ordinal
			hashes = append(hashes, check.Hash[:])
			at = append(at, check.at)
			scopes = append(scopes, scopeBits(check.Open))
			users = append(users, check.UserID)
		}
		ordinalOf[i] = ordinal
	}
	if ordinals == nil {
		return nil
	}
	return []any{ordinalOf, hashes, at, scopes, users}
}

// scopeBits has a bit for each scope that a call is open to.
func scopeBits(open authority.Access) (bits int64) {
	for _, scope := range []authority.Scope{
		authority.FullScope, authority.VerifyScope, authority.OpenSessionsScope,
	} {
		if open.OpenTo(scope) {
			bits |= 1 << scope
		}
	}
	return bits
}

// checkAPIKey checks the API key of a rotation in a trip of its own. It is for Citus, where the session of a
// SessionOnly key may be on another server than the session to rotate.
func (s *Store) checkAPIKey(ctx context.Context, r authority.Rotation) error {
	key, user, err := s.APIKeyByHash(ctx, r.APIKey.Hash)
	var session *authority.Session
	if err == nil && key.Visibility == authority.SessionOnly {
		var found authority.SessionWithUser
		found, err = s.Session(ctx, key.Session)
		session = &found.Session
	}
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return fault.ErrActorEnded
	case err == nil && !r.APIKey.Permits(&key, user, session, r.At):
		return fault.ErrActorEnded
	}
	return err
}

// permittedKeys returns which checks permit the API keys of rotations, from the present rows.
func permittedKeys(ctx context.Context, conn *pgx.Conn, rest []*rotation) (map[rotationCheck]bool, error) {
	permitted := map[rotationCheck]bool{}
	var hashes []authority.APIKeyHash
	for _, r := range rest {
		if r.APIKey != nil {
			permitted[r.check()] = false
			hashes = append(hashes, r.APIKey.Hash)
		}
	}
	if len(hashes) == 0 {
		return nil, nil
	}
	keys, err := readAPIKeys(ctx, conn, hashes)
	if err != nil {
		return nil, err
	}
	var ids []token.SessionID
	for _, k := range keys {
		if k.key.Visibility == authority.SessionOnly {
			ids = append(ids, k.key.Session)
		}
	}
	var sessions map[token.SessionID]authority.SessionWithUser
	if len(ids) > 0 {
		if sessions, err = readSessions(ctx, conn, sessionsSQL, ids); err != nil {
			return nil, err
		}
	}
	for check := range permitted {
		k, found := keys[check.Hash]
		if !found {
			continue
		}
		var session *authority.Session
		if s, live := sessions[k.key.Session]; live {
			session = &s.Session
		}
		permitted[check] = check.Permits(&k.key, k.user, session, check.at)
	}
	return permitted, nil
}
