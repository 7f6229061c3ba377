package authority_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/userimport"
)

// raced is a store in which the password is changed right before the next
// hash is replaced.
type raced struct {
	authority.Store
	change string // the hash that comes in between; "" is none
}

func (r *raced) SetPassword(ctx context.Context, id int64, c authority.PasswordChange) error {
	if hash := r.change; hash != "" && c.IfHash != "" {
		r.change = ""
		if err := r.Store.SetPassword(ctx, id, authority.PasswordChange{Hash: hash}); err != nil {
			return err
		}
	}
	return r.Store.SetPassword(ctx, id, c)
}

// TestReplacingAnImportedHash: a change of password that comes between the
// check and the replacement stands, and the old password opens nothing; a
// replacement by another sign-in that comes between refuses nobody.
func TestReplacingAnImportedHash(t *testing.T) {
	const imported = "$2b$04$o9DuE/Ry9/y.ybnUfqYzQuutFLv2bXfwdOJ0IQQ5.sR.eOs1vN2yG" // Python's bcrypt of:
	const passwd = "Correct#Horse7"
	var store *raced
	a := newAuthority(t, time.Now, func(s authority.Store) authority.Store { store = &raced{Store: s}; return store })
	_, adas, err := store.UserByLogin(t.Context(), adaLogin)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, change string
		wantIn       bool
	}{{"changed", adas, false}, {"replaced", "$2y$05$L9HXlVYEy1frc7mtz4lfbOANtoYsoH2TgamYQ6Yr6OCn3CD.u/DqW", true}} {
		t.Run(c.name, func(t *testing.T) {
			user := authority.User{Login: c.name, Email: "a@example.com", Level: authority.General, Status: authority.Active}
			results, err := userimport.Import(t.Context(), store.Store.(userimport.Store), []authority.UserWithHash{{User: user, PasswordHash: imported}}, 5)
			if err != nil || !results[0].Added {
				t.Fatal(results, err)
			}
			store.change = c.change
			_, err = a.Login(t.Context(), c.name, passwd, authority.Origin{})
			if e, ok := errors.AsType[*fault.Error](err); (err == nil) != c.wantIn || !c.wantIn && (!ok || e.Kind != fault.InvalidCredentials) {
				t.Errorf("the sign-in: %v", err)
			}
			if _, hash, err := store.UserByLogin(t.Context(), c.name); err != nil || hash != c.change {
				t.Errorf("the hash is %q, %v; want the one that came in between", hash, err)
			}
		})
	}
}
