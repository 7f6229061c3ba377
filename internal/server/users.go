package server

import (
	"context"
	"strconv"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

func wireUser(u *authority.User) api.User {
	return api.User{UserID: u.ID, Login: u.Login, Email: u.Email, FirstName: u.FirstName, LastName: u.LastName,
		NetworkID: u.NetworkID, MailboxID: u.MailboxID, AuthLevel: api.Level(u.Level.String()), Status: api.Status(u.Status.String()), Created: wireTime(u.Created)}
}

// userResponse is the answer of a call that gives a user.
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

// pathID reads the {id} of the path.
func pathID(r request) (int64, error) {
	id, err := strconv.ParseInt(r.http.PathValue("id"), 10, 64)
	if err != nil || id <= 0 {
		return 0, invalid("id in the path must be a positive integer.")
	}
	return id, nil
}

// optional parses a name that may be left out, which gives the zero value.
func optional[T any, S ~string](field string, name S, parse func(field, name string) (T, error)) (T, error) {
	if name == "" {
		var zero T
		return zero, nil
	}
	return parse(field, string(name))
}

// levelChange parses a level that a change may leave as it is.
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

func (s *Server) createUser(ctx context.Context, r request, body api.CreateUserRequest) (response, error) {
	level, err := optional("authLevel", body.AuthLevel, authority.ParseLevel)
	if err != nil {
		return response{}, err
	}
	return userResponse(s.authority.CreateUser(ctx, r.caller, authority.NewUser{
		Login: body.Login, Password: body.Password, Email: body.Email, FirstName: body.FirstName, LastName: body.LastName,
		NetworkID: body.NetworkID, MailboxID: body.MailboxID, Level: level,
	}))
}

func (s *Server) me(_ context.Context, r request, _ none) (response, error) {
	return userResponse(r.caller.User, nil)
}

func (s *Server) user(ctx context.Context, r request, _ none) (response, error) {
	id, err := pathID(r)
	if err != nil {
		return response{}, err
	}
	return userResponse(s.authority.User(ctx, r.caller, id))
}

func (s *Server) listUsers(ctx context.Context, r request, body api.ListUsersRequest) (response, error) {
	level, err := optional("authLevel", body.AuthLevel, authority.ParseLevel)
	if err != nil {
		return response{}, err
	}
	status, err := optional("status", body.Status, authority.ParseStatus)
	if err != nil {
		return response{}, err
	}
	filter := authority.UserFilter{NetworkID: body.NetworkID, MailboxID: body.MailboxID, Level: level, Status: status,
		Limit: or(body.RecordsPerPage, 25)}
	return usersResponse(s.authority.ListUsers(ctx, r.caller, filter, or(body.PageNo, 1)))
}

func or(p *int64, standard int64) int64 {
	if p == nil {
		return standard
	}
	return *p
}

func (s *Server) userByName(ctx context.Context, r request, body api.UserByNameRequest) (response, error) {
	return usersResponse(s.authority.UserByLogin(ctx, r.caller, body.Login))
}

func (s *Server) updateUser(ctx context.Context, r request, body api.UpdateUserRequest) (response, error) {
	change := authority.UserChange{Email: body.Email, FirstName: body.FirstName, LastName: body.LastName}
	if body.Status != nil {
		status, err := authority.ParseStatus("status", string(*body.Status))
		if err != nil {
			return response{}, err
		}
		change.Status = &status
	}
	return userResponse(s.authority.UpdateUser(ctx, r.caller, body.UserID, change))
}

func (s *Server) setRole(ctx context.Context, r request, body api.RoleRequest) (response, error) {
	level, err := levelChange(body.AuthLevel)
	if err != nil {
		return response{}, err
	}
	return userResponse(s.authority.SetRole(ctx, r.caller, body.UserID, level, body.NetworkID, body.MailboxID))
}

func (s *Server) setPlace(ctx context.Context, r request, body api.TenantRequest) (response, error) {
	return userResponse(s.authority.SetRole(ctx, r.caller, body.UserID, 0, body.NetworkID, body.MailboxID))
}

func (s *Server) setPassword(ctx context.Context, r request, body api.SetPasswordRequest) (response, error) {
	return ok(true), s.authority.SetPassword(ctx, r.caller, body.UserID, body.NewPassword)
}

func (s *Server) generatePassword(_ context.Context, _ request, body api.GeneratePasswordRequest) (response, error) {
	text, err := s.authority.GeneratePassword(or(body.Length, 12))
	return secret(text), err
}

func (s *Server) resetUser(ctx context.Context, r request, _ none) (response, error) {
	return s.onUser(ctx, r, s.authority.ResetUser)
}

func (s *Server) terminateUser(ctx context.Context, r request, _ none) (response, error) {
	return s.onUser(ctx, r, s.authority.TerminateUser)
}

// onUser answers true if do succeeds for the user of the path.
func (s *Server) onUser(ctx context.Context, r request, do func(context.Context, authority.Caller, int64) error) (response, error) {
	id, err := pathID(r)
	if err != nil {
		return response{}, err
	}
	return ok(true), do(ctx, r.caller, id)
}

func (s *Server) generateKey(ctx context.Context, r request, _ none) (response, error) {
	id, err := pathID(r)
	if err != nil {
		return response{}, err
	}
	text, err := s.authority.GeneratePrimaryAPIKey(ctx, r.caller, id)
	return secret(text), err
}

// readKeyBack is the one call of the vendor's that is left out on purpose.
func (s *Server) readKeyBack(context.Context, request, none) (response, error) {
	return response{}, &fault.Error{Kind: fault.NotFound,
		Message: "Keys are kept as a hash and cannot be read back; make a new one with POST /v2/users/key-generate/{id}."}
}

func wireKey(k authority.APIKey, text string) api.APIKey {
	return api.APIKey{KeyID: k.ID, UserID: k.UserID, Key: text, Visibility: api.Visibility(k.Visibility.String()), Created: wireTime(k.Created)}
}

func (s *Server) createKey(ctx context.Context, r request, body api.CreateAPIKeyRequest) (response, error) {
	visibility, err := authority.ParseVisibility("visibility", string(body.Visibility))
	if err != nil {
		return response{}, err
	}
	key, text, err := s.authority.CreateAPIKey(ctx, r.caller, body.UserID, visibility)
	return secret(wireKey(key, text)), err
}

func (s *Server) listKeys(ctx context.Context, r request, body api.ListAPIKeysRequest) (response, error) {
	visibility, err := optional("visibility", body.Visibility, authority.ParseVisibility)
	if err != nil {
		return response{}, err
	}
	keys, err := s.authority.APIKeys(ctx, r.caller, body.UserID, visibility)
	list := make([]api.APIKey, len(keys))
	for i, k := range keys {
		list[i] = wireKey(k, k.Mask)
	}
	return ok(list), err
}

func (s *Server) primaryKey(ctx context.Context, r request, body api.GetAPIKeyRequest) (response, error) {
	key, err := s.authority.PrimaryAPIKey(ctx, r.caller, body.UserID)
	return ok(wireKey(key, key.Mask)), err
}

func (s *Server) deleteKey(ctx context.Context, r request, body api.DeleteAPIKeyRequest) (response, error) {
	return ok(true), s.authority.DeleteAPIKey(ctx, r.caller, body.KeyID)
}
