package server

import (
	"cmp"
	"context"
	"strings"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

func wireUser(u *authority.User) api.User {
	return api.User{
		UserID: u.ID, Login: u.Login, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName,
		NetworkID: u.NetworkID, MailboxID: u.MailboxID, AuthLevel: api.Level(u.Level.String()),
		Status: api.Status(u.Status.String()), Created: wireTime(u.Created), ExternalID: u.ExternalID,
	}
}

// userResponse returns the response of a call for one user.
func userResponse(u *authority.User, err error) (response, error) {
	if err != nil {
		return response{}, err
	}
	return ok(wireUser(u)), nil
}

func usersResponse(users []authority.User, err error) (response, error) {
	list := make([]api.User, len(users))
	for i := range users {
		list[i] = wireUser(&users[i])
	}
	return ok(list), err
}

// pathID parses the {id} of the path. Each user has one path, so that a gateway or a log that matches paths cannot miss
// another spelling of the id.
func pathID(r request) (int64, error) {
	text := r.http.PathValue("id")
	if text != "" && strings.Contains("+-0", text[:1]) {
		return 0, fault.New(fault.NotFound, "User not found; write the id as digits without a sign or a leading zero.")
	}
	return positive("id in the path", text)
}

// optional parses an optional name. It returns the zero value for an empty name.
func optional[T any, S ~string](field string, name S, parse func(field, name string) (T, error)) (T, error) {
	if name == "" {
		var zero T
		return zero, nil
	}
	return parse(field, string(name))
}

// levelChange parses the level of an update. levelChange returns 0 for an unchanged level.
func levelChange(name api.Level) (authority.Level, error) {
	if name == api.LevelNoChange {
		return 0, nil
	}
	level, err := authority.ParseLevel("authLevel", string(name))
	if err != nil {
		err = invalid("authLevel must be a level, such as MailboxUser, or NoChange.")
	}
	return level, err
}

func (s *server) createUser(ctx context.Context, r request, body api.CreateUserRequest) (response, error) {
	user, err := newUser("", body)
	if err != nil {
		return response{}, err
	}
	return userResponse(s.authority.CreateUser(ctx, r.caller, user))
}

// newUser converts a user to create. prefix is what the names of the fields begin with in an error.
func newUser(prefix string, body api.CreateUserRequest) (authority.NewUser, error) {
	level, err := optional(prefix+"authLevel", body.AuthLevel, authority.ParseLevel)
	return authority.NewUser{
		Login: cmp.Or(body.Login, body.LoginName), Password: body.Password, ExternalID: body.ExternalID,
		Email: body.Email, FirstName: body.FirstName, LastName: body.LastName,
		NetworkID: unlessZero(body.NetworkID), MailboxID: unlessZero(body.MailboxID), Level: level,
	}, err
}

// unlessZero returns the id of a network or a mailbox, or nil for 0. Clients of the vendor's API send 0 for an id that
// they do not set.
func unlessZero(id *int64) *int64 {
	if id != nil && *id == 0 {
		return nil
	}
	return id
}

func (s *server) me(_ context.Context, r request, _ none) (response, error) {
	return userResponse(r.caller.User, nil)
}

func (s *server) user(ctx context.Context, r request, _ none) (response, error) {
	id, err := pathID(r)
	if err != nil {
		return response{}, err
	}
	return userResponse(s.authority.User(ctx, r.caller, id))
}

func (s *server) listUsers(ctx context.Context, r request, body api.ListUsersRequest) (response, error) {
	level, err := optional("authLevel", body.AuthLevel, authority.ParseLevel)
	if err != nil {
		return response{}, err
	}
	status, err := optional("status", body.Status, authority.ParseStatus)
	if err != nil {
		return response{}, err
	}
	search, err := authority.NewSearch(body.Search)
	if err != nil {
		return response{}, err
	}
	filter := authority.UserFilter{
		NetworkID: unlessZero(body.NetworkID), MailboxID: unlessZero(body.MailboxID), Level: level, Status: status,
		Search: search, Limit: orDefault(body.RecordsPerPage, 25),
	}
	return usersResponse(s.authority.ListUsers(ctx, r.caller, filter, orDefault(body.PageNo, 1)))
}

func orDefault(p *int64, standard int64) int64 {
	if p == nil {
		return standard
	}
	return *p
}

func (s *server) userByName(ctx context.Context, r request, body api.UserByNameRequest) (response, error) {
	login := cmp.Or(body.Login, body.LoginName)
	return usersResponse(s.authority.UserByName(ctx, r.caller, login, body.ExternalID))
}

func (s *server) updateUser(ctx context.Context, r request, body api.UpdateUserRequest) (response, error) {
	change := authority.UserChange{
		Email: body.Email, FirstName: body.FirstName, LastName: body.LastName, ExternalID: body.ExternalID,
	}
	if body.Status != nil {
		status, err := authority.ParseStatus("status", string(*body.Status))
		if err != nil {
			return response{}, err
		}
		change.Status = &status
	}
	return userResponse(s.authority.UpdateUser(ctx, r.caller, body.UserID, change))
}

func (s *server) setRole(ctx context.Context, r request, body api.RoleRequest) (response, error) {
	level, err := levelChange(body.AuthLevel)
	if err != nil {
		return response{}, err
	}
	network, mailbox := unlessZero(body.NetworkID), unlessZero(body.MailboxID)
	return userResponse(s.authority.SetRole(ctx, r.caller, body.UserID, level, network, mailbox))
}

func (s *server) setTenant(ctx context.Context, r request, body api.TenantRequest) (response, error) {
	network, mailbox := unlessZero(body.NetworkID), unlessZero(body.MailboxID)
	return userResponse(s.authority.SetRole(ctx, r.caller, body.UserID, 0, network, mailbox))
}

func (s *server) setPassword(ctx context.Context, r request, body api.SetPasswordRequest) (response, error) {
	return ok(true), s.authority.SetPassword(ctx, r.caller, body.UserID, body.NewPassword, body.RevokeSessions)
}

func (s *server) generatePassword(_ context.Context, _ request, body api.GeneratePasswordRequest) (response, error) {
	text, err := s.authority.GeneratePassword(orDefault(body.Length, 12))
	return secret(text), err
}

func (s *server) resetMe(ctx context.Context, r request, _ none) (response, error) {
	return ok(true), s.authority.ResetUser(ctx, r.caller, r.caller.User.ID)
}

func (s *server) resetUser(ctx context.Context, r request, _ none) (response, error) {
	return s.withUser(ctx, r, s.authority.ResetUser)
}

func (s *server) terminateUser(ctx context.Context, r request, _ none) (response, error) {
	return s.withUser(ctx, r, s.authority.TerminateUser)
}

// userChange changes one user.
type userChange func(ctx context.Context, caller authority.Caller, userID int64) error

// withUser applies a change to the user of the path.
func (s *server) withUser(ctx context.Context, r request, change userChange) (response, error) {
	id, err := pathID(r)
	if err != nil {
		return response{}, err
	}
	return ok(true), change(ctx, r.caller, id)
}

// noConfig always returns an error. The vendor's call configures notifications, and Pawl sends none.
func (s *server) noConfig(context.Context, request, none) (response, error) {
	return response{}, fault.New(fault.NotFound,
		"Users have no configuration here; change names, email and status with PUT /v2/users.")
}

// noTextMessages always returns an error. The vendor's call sends a text message to a user.
func (s *server) noTextMessages(context.Context, request, none) (response, error) {
	return response{}, fault.New(fault.NotFound,
		"This server sends no text messages; send them with a service of your own.")
}
