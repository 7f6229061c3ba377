package authority_test

import (
	"context"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/userimport"
)

// racingStore changes a user's password directly before the next replacement of its hash.
type racingStore struct {
	authority.Store
	hash string // the hash stored before the replacement; "" changes nothing
}

func (r *racingStore) SetPassword(
	ctx context.Context, rights authority.Rights, id int64, c authority.PasswordChange,
) error {
	if hash := r.hash; hash != "" && c.IfHash != "" {
		r.hash = ""
		if err := r.Store.SetPassword(ctx, authority.Rights{}, id, authority.PasswordChange{Hash: hash}); err != nil {
			return err
		}
	}
	return r.Store.SetPassword(ctx, rights, id, c)
}

// TestRehashRace lets another call store a hash between the check of an imported hash and its replacement. The stored
// hash stays. If it is of another password, the sign-in is rejected; if it is of the same one, the sign-in succeeds.
func TestRehashRace(t *testing.T) {
	const (
		passwd   = "Correct#Horse7"
		imported = "$2b$04$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG" // passwd, hashed by Python's bcrypt
		same     = "$2y$05$L9HXlVYEy1frc7mtz4lfbOANtoYsoH2TgamYQ6Yr6OCn3CD.u/DqW" // passwd, hashed again
	)
	var store *racingStore
	a := newAuthority(t, time.Now, func(s authority.Store) authority.Store {
		store = &racingStore{Store: s}
		return store
	})
	_, other, err := store.UserByLogin(t.Context(), adaLogin)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, stored string
		accepted     bool
	}{
		{name: "another password", stored: other, accepted: false},
		{name: "the same password", stored: same, accepted: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			user := authority.UserWithHash{PasswordHash: imported, User: authority.User{
				Login: test.name, Email: "a@example.com", Level: authority.General, Status: authority.Active,
			}}
			target := store.Store.(userimport.Store)
			results, err := userimport.Import(t.Context(), target, []authority.UserWithHash{user}, 5)
			if err != nil || !results[0].Added {
				t.Fatal(results, err)
			}
			store.hash = test.stored
			_, err = a.Login(t.Context(), test.name, passwd, authority.Origin{})
			if test.accepted && err != nil {
				t.Errorf("the sign-in failed: %v", err)
			}
			if !test.accepted && fault.KindOf(err) != fault.InvalidCredentials {
				t.Errorf("error %v, want kind InvalidCredentials", err)
			}
			if _, hash, err := store.UserByLogin(t.Context(), test.name); err != nil || hash != test.stored {
				t.Errorf("the hash is %q, %v; want %q", hash, err, test.stored)
			}
		})
	}
}
