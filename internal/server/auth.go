package server

import (
	"cmp"
	"context"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/token"
)

// none is the body of a call without a body.
type none = struct{}

// wireTime converts Unix seconds to the form on the wire.
func wireTime(unix int64) api.Time { return api.NewTime(time.Unix(unix, 0)) }

// answerForm is the form of a response with a token. It depends on the names of the fields in the request.
type answerForm uint8

const (
	asToken answerForm = iota // api.Token
	asPair                    // api.TokenPair
	asKey                     // api.TokenWithSessionKey
)

// issued returns the response of a login or a refresh. With a cookie, the token is in the cookie alone.
func (s *server) issued(form answerForm, cookie bool, i authority.IssuedToken, err error) (response, error) {
	if err != nil {
		return response{}, err
	}
	set := ""
	if cookie {
		set = s.cookies.set(i)
		i.Token = ""
	}
	token := api.Token{Token: i.Token, ExpiresAt: wireTime(i.Expires), UserID: i.UserID}
	result := response{data: token, secret: true, cookie: set}
	switch form {
	case asPair:
		result.data = api.TokenPair{Token: token, RefreshToken: i.Token}
	case asKey:
		result.data = api.TokenWithSessionKey{Token: token, SessionKey: i.Token}
	}
	return result, nil
}

func (s *server) login(ctx context.Context, r request, body api.LoginRequest) (response, error) {
	from := origin(r.http)
	from.Cookie = body.Cookie
	if body.Cookie {
		if s.cookies == nil {
			return response{}, errNoCookies
		}
		// Else a page of another origin could sign the browser in as another user.
		if err := s.cookies.check(r.http, unsafeMethod); err != nil {
			return response{}, err
		}
	}
	key, err := apiKey(r.http)
	if err != nil {
		return response{}, err
	}
	if err := s.authority.CheckAPIKey(ctx, key, loginOpen); err != nil {
		return response{}, err
	}
	if body.APIKey != "" {
		if cmp.Or(body.Login, body.LoginName, body.Email, body.Username, body.Password) != "" {
			return response{}, invalid("apiKey replaces a login and a password; send one or the other.")
		}
		token, err := s.authority.LoginWithAPIKey(ctx, body.APIKey, loginOpen, from)
		return s.issued(asKey, body.Cookie, token, err)
	}
	form, login := asToken, cmp.Or(body.Login, body.LoginName)
	if login == "" {
		form, login = asPair, cmp.Or(body.Email, body.Username)
	}
	token, err := s.authority.Login(ctx, login, body.Password, from)
	return s.issued(form, body.Cookie, token, err)
}

func (s *server) refresh(ctx context.Context, r request, body api.RefreshRequest) (response, error) {
	form, current := asToken, body.Token
	if body.RefreshToken != "" {
		form, current = asPair, body.RefreshToken
		if body.Token != "" && body.Token != current {
			return response{}, invalid("token and refreshToken differ; send the current token as one of them.")
		}
	}
	byCookie := false
	if current == "" {
		cookie, err := s.cookies.token(r.http, unsafeMethod)
		if err != nil {
			return response{}, err
		}
		current, byCookie = cookie, cookie != ""
	}
	key, err := apiKey(r.http)
	if err != nil {
		return response{}, err
	}
	from := origin(r.http)
	from.Cookie = byCookie
	token, err := s.authority.Refresh(ctx, authority.RefreshRequest{
		Token: current, APIKey: key, Open: refreshOpen, From: from,
		IdempotencyKey: authority.HashIdempotencyKey(r.http.Header.Get("Idempotency-Key")),
	})
	if err != nil && byCookie {
		err = cookieError{err, false}
	}
	return s.issued(form, byCookie, token, err)
}

// logout takes expired tokens too, and therefore does not authenticate its caller as other calls do.
func (s *server) logout(ctx context.Context, r request, _ none) (response, error) {
	c, err := s.credentials(r.http, unsafeMethod)
	if err != nil {
		return response{}, err
	}
	from := origin(r.http)
	from.Cookie = c.byCookie
	err = s.authority.SignOut(ctx, authority.SignOutRequest{
		Token: c.token, APIKey: c.apiKey, Open: logoutOpen, From: from,
	})
	result := response{message: "Session terminated."}
	switch {
	case !c.byCookie:
		return result, err
	case err == nil || authority.SessionEnded(err):
		result.cookie = s.cookies.clear()
		return result, nil
	}
	return result, cookieError{err, true}
}

func (s *server) session(_ context.Context, r request, _ none) (response, error) {
	u := r.caller.User
	info := api.SessionInfo{
		UserID: u.ID, Login: u.Login, NetworkID: u.NetworkID, MailboxID: u.MailboxID,
		AuthLevel: api.Level(u.Level.String()),
	}
	if r.caller.Session != nil {
		expires := wireTime(r.caller.Session.Expires)
		info.ExpiresAt = &expires
	}
	return ok(info), nil
}

func (s *server) changePassword(ctx context.Context, r request, body api.PasswordRequest) (response, error) {
	err := s.authority.ChangePassword(ctx, r.caller, body.CurrentPassword, body.NewPassword, body.RevokeOtherSessions,
		origin(r.http))
	return response{message: "Password updated successfully."}, err
}

func (s *server) version(context.Context, request, none) (response, error) {
	return ok(api.VersionInfo{Version: api.Version, Build: s.build}), nil
}

// sessionsPerPage is the size of a page of sessions if the request has none.
const sessionsPerPage = 100

func (s *server) sessions(ctx context.Context, r request, body api.SessionsRequest) (response, error) {
	query := authority.SessionQuery{All: body.All, Page: orDefault(body.PageNo, 1)}
	query.Limit = orDefault(body.RecordsPerPage, sessionsPerPage)
	if body.UserID != nil {
		query.UserID = *body.UserID
		if query.UserID <= 0 {
			return response{}, invalid("userId must be a positive integer.")
		}
	}
	records, err := s.authority.Sessions(ctx, r.caller, query)
	list := make([]api.Session, len(records))
	for i, record := range records {
		list[i] = wireSession(record, r.caller)
	}
	return ok(list), err
}

func wireSession(record authority.SessionWithOrigin, caller authority.Caller) api.Session {
	out := api.Session{
		SessionID: record.ID.String(), UserID: record.UserID,
		Current: caller.Session != nil && caller.Session.ID == record.ID,
		Created: wireTime(record.Created), ExpiresAt: wireTime(record.Expires), IdleUntil: wireTime(record.Idle),
		EndsAt: wireTime(record.Ends), Refreshes: int64(record.Generation) - 1,
		IP: record.IP, UserAgent: record.UserAgent, Device: record.Device,
	}
	if record.Extras != nil && record.Extras.ActorID != 0 {
		out.ActorID = &record.Extras.ActorID
	}
	if record.Generation > 1 {
		refreshed := wireTime(record.Refreshed)
		out.LastRefreshed = &refreshed
	}
	return out
}

func (s *server) endOwnSessions(ctx context.Context, r request, body api.EndSessionsRequest) (response, error) {
	ended, err := s.authority.EndOwnSessions(ctx, r.caller, body.ExceptCurrent)
	return ok(ended), err
}

func (s *server) endSession(ctx context.Context, r request, _ none) (response, error) {
	id, valid := token.ParseSessionID(r.http.PathValue("id"))
	if !valid {
		return response{}, invalid("sessionId is not a session id; list the sessions with POST /v2/auth/sessions.")
	}
	return ok(true), s.authority.EndSession(ctx, r.caller, id)
}
