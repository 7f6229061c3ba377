// Package storecopy is what is done to a whole store: everything moved to
// another, of whatever kind, and every session ended.
package storecopy

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/token"
)

// Store is a store that can be copied.
type Store interface {
	keyring.Store
	Copier
}

const page = 5000 // rows that are read and written at once

// Copy fills to with all that from has, and checks the counts. Signing keys are
// opened and sealed with box; a nil box leaves them as they are. show hears of
// the progress. Until Copy returns nil, to is marked as a part.
func Copy(ctx context.Context, from, to Store, box *seal.Box, show func(what string, done, total int64)) (Counts, error) {
	if part, err := from.CopyInProgress(ctx); err != nil || part {
		return Counts{}, cmp.Or(err, ErrIncomplete)
	}
	want, err := from.Count(ctx)
	if err != nil {
		return want, err
	}
	if err := copyAll(ctx, from, to, box, want, show); err != nil {
		return want, err
	}
	got, err := to.Count(ctx)
	if err != nil {
		return want, err
	}
	if got != want {
		return want, fmt.Errorf("the counts differ: %+v were to be copied, and %+v are there: is a server running on one of the stores?", want, got)
	}
	return got, to.EndCopy(ctx)
}

func copyAll(ctx context.Context, from, to Store, box *seal.Box, want Counts, show func(what string, done, total int64)) error {
	steps := []func() error{
		func() error { return to.BeginCopy(ctx) },
		func() error { return copyKeysThatSign(ctx, from, to, box) },
		func() error {
			return rows(ctx, "users", want.Users, show, from.ReadUsers, to.WriteUsers, func(u authority.UserWithHash) int64 { return u.ID })
		},
		func() error {
			return rows(ctx, "sessions", want.Sessions, show, from.ReadSessions, to.WriteSessions, func(s authority.SessionWithOrigin) token.SessionID { return s.ID })
		},
		func() error {
			return rows(ctx, "keys", want.APIKeys, show, from.ReadAPIKeys, to.WriteAPIKeys, func(k APIKeyRecord) int64 { return k.ID })
		},
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// rows copies one kind of row page by page, in the order of the ids.
func rows[ID, Row any](ctx context.Context, what string, total int64, show func(string, int64, int64),
	read func(context.Context, ID, int) ([]Row, error), write func(context.Context, []Row) error, id func(Row) ID) error {
	var after ID
	for done := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return err
		}
		some, err := read(ctx, after, page)
		if err != nil {
			return err
		}
		if len(some) > 0 {
			if err := write(ctx, some); err != nil {
				return err
			}
			after = id(some[len(some)-1])
			done += int64(len(some))
		}
		show(what, done, total)
		if len(some) < page {
			return nil
		}
	}
}

// copyKeysThatSign adds the oldest first: the last one that is added signs.
func copyKeysThatSign(ctx context.Context, from, to Store, box *seal.Box) error {
	keys, err := from.SigningKeys(ctx)
	if err != nil {
		return err
	}
	for _, key := range slices.Backward(keys) {
		if key, err = keyring.Unseal(key, box); err != nil {
			return err
		}
		if err := to.AddSigningKey(ctx, keyring.Seal(key, box), false); err != nil {
			return err
		}
	}
	return nil
}
