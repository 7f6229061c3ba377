package sqlite

import (
	"context"
	"errors"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// txAs is tx for a write that needs rights. The rights are checked inside the transaction, before the function runs.
func txAs[T any](
	ctx context.Context, s *Store, r authority.Rights, u urgency, run func(*change) (T, error),
) (T, error) {
	return tx(ctx, s, u, func(c *change) (T, error) {
		if err := c.checkRights(r); err != nil {
			var none T
			return none, err
		}
		return run(c)
	})
}

// writeAs is write for a write that needs rights.
func (s *Store) writeAs(ctx context.Context, r authority.Rights, u urgency, run func(*change) error) error {
	return s.write(ctx, u, func(c *change) error {
		if err := c.checkRights(r); err != nil {
			return err
		}
		return run(c)
	})
}

// checkRights checks rights against the rows and sessions, including the changes of earlier operations in the batch.
func (c *change) checkRights(r authority.Rights) error {
	if r.Actor.UserID == 0 {
		return nil
	}
	var present authority.Present
	var err error
	if present.Actor, err = c.findUser(r.Actor.UserID); err != nil {
		return err
	}
	if present.Target, err = c.findUser(r.Target.ID); err != nil {
		return err
	}
	if r.SessionActor.ID != 0 {
		if present.SessionActor, err = c.findUser(r.SessionActor.ID); err != nil {
			return err
		}
	}
	if r.Actor.Session != (token.SessionID{}) {
		if state, exists := c.sessions.Get(r.Actor.Session); exists {
			present.Session = &state.Session
		}
	}
	if r.Actor.APIKey != 0 {
		key, err := queryOne(c.conn, selectAPIKeys+" WHERE id = ? AND "+liveAPIKey, args{r.Actor.APIKey}, scanAPIKey)
		switch {
		case err == nil:
			present.APIKey = &key
		case !errors.Is(err, fault.ErrNotFound):
			return err
		}
	}
	return r.Check(present)
}

// findUser returns a user, or nil if there is none.
func (c *change) findUser(id int64) (*authority.User, error) {
	user, err := queryOne(c.conn, selectUserByID, args{id}, scanUser)
	if errors.Is(err, fault.ErrNotFound) {
		return nil, nil
	}
	return user, err
}

// checkLastRoot returns ErrLastRoot if a change leaves no active Root.
func (c *change) checkLastRoot(before, after *authority.User) error {
	isRoot := func(u *authority.User) bool { return u.Level == authority.Root && u.Status == authority.Active }
	if before == nil || !isRoot(before) || isRoot(after) {
		return nil
	}
	others, err := queryOne(c.conn, "SELECT count(*) FROM user WHERE level = ? AND status = ?",
		args{int64(authority.Root), int64(authority.Active)}, scanNumber)
	if err == nil && others == 0 {
		err = fault.ErrLastRoot
	}
	return err
}
