package authority

import (
	"context"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/password"
)

const (
	maxLogin = 254 // characters, as the longest mail address (RFC 5321)
	maxName  = 100 // characters
	maxPage  = 500
)

// NewUser is what CreateUser needs. A nil place is the caller's; a zero level
// is MailboxUser.
type NewUser struct {
	Login, Password, Email, FirstName, LastName string
	NetworkID, MailboxID                        *int64
	Level                                       Level
}

// CreateUser adds a user at a place that the caller administers.
func (a *Authority) CreateUser(ctx context.Context, c Caller, n NewUser) (*User, error) {
	if !c.User.isAdmin() {
		return nil, errLevel
	}
	if n.Level == 0 {
		n.Level = MailboxUser
	}
	place := c.User.Tenant.override(n.NetworkID, n.MailboxID)
	if err := firstError(checkLogin(n.Login), checkEmail(&n.Email), checkName("firstName", &n.FirstName),
		checkName("lastName", &n.LastName), checkPlace(n.NetworkID, n.MailboxID)); err != nil {
		return nil, err
	}
	if err := c.mayGive(n.Level, place); err != nil {
		return nil, err
	}
	hash, err := a.newHash(ctx, "password", n.Password)
	if err != nil {
		return nil, err
	}
	if c, err = a.again(ctx, c); err != nil {
		return nil, err
	}
	if err := c.mayGive(n.Level, place); err != nil {
		return nil, err
	}
	user, err := a.store.CreateUser(ctx, User{
		Login: n.Login, Email: n.Email, FirstName: n.FirstName, LastName: n.LastName,
		Tenant: place, Level: n.Level, Status: Active, Created: a.now(),
	}, hash)
	if err != nil {
		return nil, fault.FromStore(err, nil)
	}
	a.audit.Record(ctx, c.did(audit.Event{Kind: audit.UserCreated, User: user.ID, Detail: user.Level.String()}))
	return user, nil
}

// newHash checks a new password against the rules, and hashes it.
func (a *Authority) newHash(ctx context.Context, field, passwd string) (string, error) {
	if passwd == "" {
		return "", fault.Invalid(field + " is missing.")
	}
	if err := a.rules.Check(passwd); err != nil {
		return "", fault.Invalid(field + " " + err.Error() + ".")
	}
	hash, err := a.passwords.Hash(ctx, passwd)
	return hash, passwordError(err)
}

// User returns a user whom the caller may see.
func (a *Authority) User(ctx context.Context, c Caller, id int64) (*User, error) {
	if id <= 0 {
		return nil, fault.Invalid("userId is missing; it is a positive integer.")
	}
	return a.visible(ctx, c, id, true)
}

// checkPage holds the number and the length of a page to their bounds.
func checkPage(page, limit int64) error {
	switch {
	case page < 1 || page > 1<<31:
		return fault.Invalid("pageNo must be 1 or more.")
	case limit < 1 || limit > maxPage:
		return fault.Invalid("recordsPerPage must be from 1 to 500.")
	}
	return nil
}

// ListUsers returns a page of the users of a place that the caller
// administers; a filter that is not given means all of it.
func (a *Authority) ListUsers(ctx context.Context, c Caller, f UserFilter, page int64) ([]User, error) {
	if !c.User.isAdmin() {
		return nil, errLevel
	}
	if err := checkPage(page, f.Limit); err != nil {
		return nil, err
	}
	if c.User.Level >= NetworkAdmin && f.NetworkID == nil {
		f.NetworkID = &c.User.NetworkID
	}
	if c.User.Level >= MailboxAdmin && f.MailboxID == nil {
		f.MailboxID = &c.User.MailboxID
	}
	if !c.User.administers(c.User.Tenant.override(f.NetworkID, f.MailboxID)) {
		return nil, errPlace
	}
	f.Offset = (page - 1) * f.Limit
	users, err := a.store.ListUsers(ctx, f)
	return users, fault.FromStore(err, nil)
}

// UserByLogin returns the user with that login, or none.
func (a *Authority) UserByLogin(ctx context.Context, c Caller, login string) ([]User, error) {
	if !c.User.isAdmin() {
		return nil, errLevel
	}
	if login == "" {
		return nil, fault.Invalid("login is missing.")
	}
	user, _, err := a.store.UserByLogin(ctx, login)
	switch {
	case err == nil && c.User.administers(user.Tenant):
		return []User{*user}, nil
	case err == nil:
		return []User{}, nil
	}
	err = fault.FromStore(err, errUserNotFound)
	if err == errUserNotFound {
		return []User{}, nil
	}
	return nil, err
}

// UpdateUser changes names and email, of oneself or as an admin, and the
// status, to Active or Suspended, as an admin of someone else.
func (a *Authority) UpdateUser(ctx context.Context, c Caller, id int64, change UserChange) (*User, error) {
	if id <= 0 {
		return nil, fault.Invalid("userId is missing; it is a positive integer.")
	}
	if err := firstError(checkEmail(change.Email), checkName("firstName", change.FirstName), checkName("lastName", change.LastName)); err != nil {
		return nil, err
	}
	user, err := a.changeable(ctx, c, id, true)
	if err != nil {
		return nil, err
	}
	if s := change.Status; s != nil {
		switch {
		case *s != Active && *s != Suspended:
			return nil, fault.Invalid("status must be Active or Suspended.")
		case !c.User.administers(user.Tenant):
			return nil, errLevel
		case *s == Suspended && id == c.User.ID:
			return nil, errOwnStatus
		}
	}
	return a.update(ctx, c, id, change)
}

// SetRole changes a level, and with it a place if one is given; a zero level
// keeps the level.
func (a *Authority) SetRole(ctx context.Context, c Caller, id int64, level Level, networkID, mailboxID *int64) (*User, error) {
	change := UserChange{NetworkID: networkID, MailboxID: mailboxID}
	if level != 0 {
		change.Level = &level
	}
	if id <= 0 {
		return nil, fault.Invalid("userId is missing; it is a positive integer.")
	}
	if err := checkPlace(networkID, mailboxID); err != nil {
		return nil, err
	}
	user, err := a.changeable(ctx, c, id, false)
	if err != nil {
		return nil, err
	}
	if level == 0 {
		level = user.Level
	}
	if err := c.mayGive(level, user.Tenant.override(networkID, mailboxID)); err != nil {
		return nil, err
	}
	return a.update(ctx, c, id, change)
}

func (a *Authority) update(ctx context.Context, c Caller, id int64, change UserChange) (*User, error) {
	user, err := a.store.UpdateUser(ctx, id, change)
	if err != nil {
		return nil, fault.FromStore(err, errUserNotFound)
	}
	a.recordChange(ctx, c, user, change)
	return user, nil
}

// TerminateUser ends a user for good, with all sessions and keys.
func (a *Authority) TerminateUser(ctx context.Context, c Caller, id int64) error {
	if id == c.User.ID {
		return errOwnStatus
	}
	if _, err := a.changeable(ctx, c, id, false); err != nil {
		return err
	}
	terminated := Terminated
	_, err := a.update(ctx, c, id, UserChange{Status: &terminated})
	return err
}

// ResetUser ends every session of a user. Of one who could set the user's
// password it forgets the failed sign-ins too; of others not, nor of the user:
// that would be guessing without an end.
func (a *Authority) ResetUser(ctx context.Context, c Caller, id int64) error {
	user, err := a.changeable(ctx, c, id, true)
	if err != nil {
		return err
	}
	err = fault.FromStore(a.endSessions(ctx, id), nil)
	if err == nil && c.User.Level <= NetworkAdmin && id != c.User.ID {
		err = a.throttle.Clear(ctx, user.Login)
	}
	return a.done(ctx, err, c.did(audit.Event{Kind: audit.SessionsReset, User: id}))
}

// SetPassword replaces a user's password, as a NetworkAdmin of the place or
// above, and forgets the failed sign-ins. The user's sessions go on: ResetUser
// ends them.
func (a *Authority) SetPassword(ctx context.Context, c Caller, id int64, passwd string) error {
	if id <= 0 {
		return fault.Invalid("userId is missing; it is a positive integer.")
	}
	if c.User.Level > NetworkAdmin {
		return errLevel
	}
	if _, err := a.changeable(ctx, c, id, false); err != nil {
		return err
	}
	hash, err := a.newHash(ctx, "newPassword", passwd)
	if err != nil {
		return err
	}
	if c, err = a.again(ctx, c); err != nil {
		return err
	}
	user, err := a.changeable(ctx, c, id, false)
	if err != nil {
		return err
	}
	err = fault.FromStore(a.store.SetPassword(ctx, id, PasswordChange{Hash: hash}), errUserNotFound)
	if err == nil {
		err = a.throttle.Clear(ctx, user.Login)
	}
	return a.done(ctx, err, c.did(audit.Event{Kind: audit.PasswordSet, User: id}))
}

// ChangePassword replaces the caller's own password, and ends the caller's
// other sessions if asked to.
func (a *Authority) ChangePassword(ctx context.Context, c Caller, current, next string, endOthers bool, from Origin) error {
	if current == "" {
		return fault.Invalid("currentPassword is missing.")
	}
	if err := a.rules.Check(next); err != nil && next != "" {
		return fault.Invalid("newPassword " + err.Error() + ".") // before the costly check
	}
	var old string
	err := a.throttle.Check(ctx, c.User.Login, from.IP, func() (err error) {
		old, err = a.checkOwn(ctx, c, current)
		return err
	})
	if err != nil {
		return passwordError(err)
	}
	hash, err := a.newHash(ctx, "newPassword", next)
	if err != nil {
		return err
	}
	change := PasswordChange{Hash: hash, IfHash: old, EndSessions: endOthers}
	if c.Session != nil {
		change.Except = c.Session.ID
	}
	err = fault.FromStore(a.store.SetPassword(ctx, c.User.ID, change), errCredentials) // changed in between
	return a.done(ctx, err, c.did(audit.Event{Kind: audit.PasswordChanged, User: c.User.ID}))
}

// checkOwn returns the hash of the caller's password, if that is passwd.
func (a *Authority) checkOwn(ctx context.Context, c Caller, passwd string) (hash string, err error) {
	_, hash, err = a.store.UserByLogin(ctx, c.User.Login)
	if err != nil {
		return "", fault.FromStore(err, errSession)
	}
	ok, _, err := a.passwords.Check(ctx, passwd, hash)
	switch {
	case err != nil:
		return "", passwordError(err)
	case !ok:
		a.audit.Record(ctx, c.did(audit.Event{Kind: audit.PasswordFailed, User: c.User.ID, Detail: "wrong current password"}))
		return "", errCredentials
	}
	return hash, nil
}

// GeneratePassword makes a random password of 8 to 128 characters that passes
// the rules: it is longer than asked for where they want that.
func (a *Authority) GeneratePassword(length int64) (string, error) {
	if length < 8 || length > 128 {
		return "", fault.Invalid("length must be from 8 to 128.")
	}
	return password.Generate(max(int(length), a.rules.MinLength())), nil
}

func (p Tenant) override(networkID, mailboxID *int64) Tenant {
	if networkID != nil {
		p.NetworkID = *networkID
	}
	if mailboxID != nil {
		p.MailboxID = *mailboxID
	}
	return p
}

func firstError(errs ...*fault.Error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// CheckUser returns nil if the login, email, names and tenant of a user keep the rules, else an error of kind
// fault.InvalidParameter that names the field.
func CheckUser(u User) error {
	return firstError(checkLogin(u.Login), checkEmail(&u.Email), checkName("firstName", &u.FirstName),
		checkName("lastName", &u.LastName), checkPlace(&u.NetworkID, &u.MailboxID))
}

func checkLogin(login string) *fault.Error {
	switch {
	case login == "":
		return fault.Invalid("login is missing.")
	case !printable(login, maxLogin) || strings.TrimSpace(login) != login:
		return fault.Invalid("login must have 1 to 254 printable characters, and no space at its ends.")
	}
	return nil
}

func checkEmail(email *string) *fault.Error {
	if email == nil {
		return nil
	}
	address, err := mail.ParseAddress(*email)
	if err != nil || address.Address != *email || !printable(*email, maxLogin) {
		return fault.Invalid("email is missing or is not a mail address.")
	}
	return nil
}

func checkName(field string, name *string) *fault.Error {
	if name == nil || printable(*name, maxName) {
		return nil
	}
	return fault.Invalid(field + " must have at most 100 printable characters.")
}

func checkPlace(networkID, mailboxID *int64) *fault.Error {
	switch {
	case networkID != nil && *networkID < 0:
		return fault.Invalid("networkId must be 0 or more.")
	case mailboxID != nil && *mailboxID < 0:
		return fault.Invalid("mailboxId must be 0 or more.")
	}
	return nil
}

func printable(s string, most int) bool {
	if utf8.RuneCountInString(s) > most {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
