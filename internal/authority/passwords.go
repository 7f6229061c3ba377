package authority

import (
	"cmp"
	"context"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/throttle"
	"github.com/pawlauth/pawl/internal/password"
)

// SetPassword replaces the password of another user, and clears the failed sign-ins. It requires a NetworkAdmin of the
// user's tenant, or a higher level. With endSessions it also ends the user's sessions, in the same transaction.
func (a *Authority) SetPassword(ctx context.Context, c Caller, id int64, passwd string, endSessions bool) error {
	if id <= 0 {
		return errUserIDMissing
	}
	switch {
	case c.User.Level > NetworkAdmin:
		return errLevel
	case id == c.User.ID:
		return errOwnPassword
	}
	if _, err := a.changeableUser(ctx, c, id, false); err != nil {
		return err
	}
	hash, err := a.hashNewPassword(ctx, "newPassword", passwd)
	if err != nil {
		return err
	}
	_, err = asCaller(ctx, a, c, func(c Caller) (struct{}, error) {
		if c.User.Level > NetworkAdmin {
			return struct{}{}, errLevel
		}
		user, err := a.changeableUser(ctx, c, id, false)
		if err != nil {
			return struct{}{}, err
		}
		change := PasswordChange{Hash: hash, EndSessions: endSessions}
		change.ClearAttempts = new(throttle.HashLogin(user.Login))
		return struct{}{}, fault.FromStore(a.store.SetPassword(ctx, c.rightsOn(user), id, change), errUserNotFound)
	})
	err = a.recordIfDone(ctx, err, c.event(audit.Event{Kind: audit.PasswordSet, User: id}))
	if !endSessions {
		return err
	}
	return a.recordIfDone(ctx, err, c.event(audit.Event{
		Kind: audit.SessionsReset, User: id, Detail: "password set",
	}))
}

// ChangePassword replaces the caller's own password. With endOthers it also ends the caller's other sessions.
func (a *Authority) ChangePassword(
	ctx context.Context, c Caller, current, next string, endOthers bool, from Origin,
) error {
	if current == "" {
		return fault.Invalid("currentPassword is missing.")
	}
	if err := a.rules.Check(next); err != nil && next != "" {
		return fault.Invalid("newPassword " + err.Error() + ".") // before the costly check
	}
	checked, err := a.checkOwnPassword(ctx, c, current, from)
	if err != nil {
		return err
	}
	hash, err := a.hashNewPassword(ctx, "newPassword", next)
	if err != nil {
		return err
	}
	change := PasswordChange{Hash: hash, IfHash: checked, EndSessions: endOthers}
	change.Except = c.sessionID()
	_, err = asCaller(ctx, a, c, func(c Caller) (struct{}, error) {
		// Not found means that the password was changed meanwhile, so that the current one is wrong now.
		err := a.store.SetPassword(ctx, c.rightsOn(c.User), c.User.ID, change)
		return struct{}{}, fault.FromStore(err, errCredentials)
	})
	if err == nil && endOthers {
		a.audit.Record(ctx, c.event(c.User.event(audit.Event{
			Kind: audit.SessionsReset, Session: c.sessionID(), Detail: "password changed, all but the current one",
		})))
	}
	return a.recordIfDone(ctx, err, c.event(c.User.event(audit.Event{Kind: audit.PasswordChanged})))
}

// checkOwnPassword returns the hash of the caller's password if passwd is right. A wrong password counts as a failed
// sign-in.
func (a *Authority) checkOwnPassword(ctx context.Context, c Caller, passwd string, from Origin) (string, error) {
	attempt, err := a.throttle.Begin(ctx, c.User.Login, from.IP)
	if err != nil {
		return "", err
	}
	defer attempt.Release()
	hash, err := a.matchPassword(ctx, c, passwd)
	return hash, cmp.Or(attempt.Resolve(ctx, err), err)
}

func (a *Authority) matchPassword(ctx context.Context, c Caller, passwd string) (string, error) {
	_, hash, err := a.store.UserByLogin(ctx, c.User.Login)
	if err != nil {
		return "", fault.FromStore(err, errSession)
	}
	right, _, err := a.passwords.Check(ctx, passwd, hash)
	switch {
	case err != nil:
		return "", hasherError(err)
	case !right:
		event := c.User.event(audit.Event{Kind: audit.PasswordFailed, Detail: "wrong current password"})
		a.audit.Record(ctx, c.event(event))
		return "", errCredentials
	}
	return hash, nil
}

// hashNewPassword checks a new password against the rules, and returns its hash.
func (a *Authority) hashNewPassword(ctx context.Context, field, passwd string) (string, error) {
	if passwd == "" {
		return "", fault.Invalid(field + " is missing.")
	}
	if err := a.rules.Check(passwd); err != nil {
		return "", fault.Invalid(field + " " + err.Error() + ".")
	}
	hash, err := a.passwords.Hash(ctx, passwd)
	return hash, hasherError(err)
}

// hashIfAny is hashNewPassword, and returns "" for a user without a password.
func (a *Authority) hashIfAny(ctx context.Context, field, passwd string) (string, error) {
	if passwd == "" {
		return "", nil
	}
	return a.hashNewPassword(ctx, field, passwd)
}

// GeneratePassword returns a random password of 8 to 128 characters that keeps the rules. It is longer than requested
// if the rules require that.
func (a *Authority) GeneratePassword(length int64) (string, error) {
	if length < 8 || length > 128 {
		return "", fault.Invalid("length must be from 8 to 128.")
	}
	return password.Generate(max(int(length), a.rules.MinLength())), nil
}
