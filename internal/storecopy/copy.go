package storecopy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/token"
)

// Copy copies the whole state of one store into another, and compares the counts of both at the end. It opens the
// signing keys of the source with box, and seals those of the target with box. A nil box reads and writes plaintext.
// Until Copy returns nil, the target is marked as incomplete.
func Copy(ctx context.Context, from, to Store, box *seal.Box, progress Progress) (Counts, error) {
	incomplete, err := from.CopyInProgress(ctx)
	if err != nil {
		return Counts{}, err
	}
	if incomplete {
		return Counts{}, ErrIncomplete
	}
	want, err := from.Count(ctx)
	if err != nil {
		return want, err
	}
	if err := to.BeginCopy(ctx); err != nil {
		return want, err
	}
	if err := errors.Join(copySigningKeys(ctx, from, to, box), copyReceivers(ctx, from, to)); err != nil {
		return want, err
	}
	users := table[int64, authority.UserWithHash]{
		kind: "users", total: want.Users,
		read: from.ReadUsers, write: to.WriteUsers,
		id: func(u authority.UserWithHash) int64 { return u.ID },
	}
	if err := users.copy(ctx, progress); err != nil {
		return want, err
	}
	sessions := table[token.SessionID, authority.SessionWithOrigin]{
		kind: "sessions", total: want.Sessions,
		read: from.ReadSessions, write: to.WriteSessions,
		id: func(s authority.SessionWithOrigin) token.SessionID { return s.ID },
	}
	if err := sessions.copy(ctx, progress); err != nil {
		return want, err
	}
	keys := table[int64, APIKeyRecord]{
		kind: "API keys", total: want.APIKeys,
		read: from.ReadAPIKeys, write: to.WriteAPIKeys,
		id: func(k APIKeyRecord) int64 { return k.ID },
	}
	if err := keys.copy(ctx, progress); err != nil {
		return want, err
	}
	assertions := table[AssertionID, authority.UsedAssertion]{
		kind: "used assertions", total: want.Assertions,
		read: from.ReadAssertions, write: to.WriteAssertions,
		id: func(a authority.UsedAssertion) AssertionID { return a.ID },
	}
	if err := assertions.copy(ctx, progress); err != nil {
		return want, err
	}
	got, err := to.Count(ctx)
	if err != nil {
		return want, err
	}
	if got != want {
		return want, fmt.Errorf("the source had %+v, the target has %+v; stop the servers of both stores", want, got)
	}
	return got, to.EndCopy(ctx)
}

// copySigningKeys adds the oldest key first, because the last added key signs.
func copySigningKeys(ctx context.Context, from, to Store, box *seal.Box) error {
	newestFirst, err := from.SigningKeys(ctx)
	if err != nil {
		return err
	}
	if err := keyring.RequireUniform(newestFirst); err != nil {
		return err
	}
	for _, key := range slices.Backward(newestFirst) {
		if key, err = keyring.Unseal(key, box); err != nil {
			return err
		}
		if err := to.AddSigningKey(ctx, authority.Rights{}, keyring.Seal(key, box), false); err != nil {
			return err
		}
	}
	return nil
}

// copyReceivers adds the receivers of the source. They get the events of the target from now on, because a copy leaves
// out the audit.
func copyReceivers(ctx context.Context, from, to Store) error {
	receivers, err := from.Receivers(ctx)
	if err != nil {
		return err
	}
	for _, r := range receivers {
		if err := to.AddReceiver(ctx, authority.Rights{}, r, 0); err != nil {
			return err
		}
	}
	return nil
}

// table reads the rows of one kind from the source, and writes them to the target.
type table[ID, Row any] struct {
	kind  string
	total int64
	read  func(ctx context.Context, after ID, limit int) ([]Row, error)
	write func(context.Context, []Row) error
	id    func(Row) ID
}

// copy copies the rows page by page, in the order of their ids.
func (t table[ID, Row]) copy(ctx context.Context, progress Progress) error {
	var after ID
	for done := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows, err := t.read(ctx, after, pageSize)
		if err != nil {
			return err
		}
		if len(rows) > 0 {
			if err := t.write(ctx, rows); err != nil {
				return err
			}
			after = t.id(rows[len(rows)-1])
			done += int64(len(rows))
		}
		progress(t.kind, done, t.total)
		if len(rows) < pageSize {
			return nil
		}
	}
}
