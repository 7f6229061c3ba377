package server

import (
	"cmp"
	"context"
	"net/netip"
	"strings"
	"unicode"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority"
)

func (s *server) openSession(ctx context.Context, r request, body api.OpenSessionRequest) (response, error) {
	from, err := originOfUser(r, body)
	if err != nil {
		return response{}, err
	}
	open := authority.OpenRequest{
		UserID: body.UserID, Login: cmp.Or(body.Login, body.LoginName), ExternalID: body.ExternalID,
		From: from, TokenLife: body.TokenLife, IdleLife: body.IdleLife, SessionLife: body.SessionLife,
		ActorID: body.ActorID,
	}
	if string(body.Claims) != "null" {
		open.Claims = body.Claims
	}
	if body.User != nil {
		user, err := newUser("user.", *body.User)
		if err != nil {
			return response{}, err
		}
		open.NewUser = &user
	}
	token, err := s.authority.OpenSession(ctx, r.caller, open)
	return s.issued(asToken, false, token, err)
}

// originOfUser returns the origin of the user's own request as the caller has sent it, and that of the caller's request
// where it is missing.
func originOfUser(r request, body api.OpenSessionRequest) (authority.Origin, error) {
	from := origin(r.http)
	from.Device = body.Device
	if body.IP != "" {
		address, err := netip.ParseAddr(body.IP)
		if err != nil || address.Zone() != "" {
			return from, invalid("ip must be an IPv4 or IPv6 address.")
		}
		from.IP = address.Unmap().String()
	}
	if body.UserAgent != "" {
		if strings.ContainsFunc(body.UserAgent, unicode.IsControl) {
			return from, invalid("userAgent must have no control characters.")
		}
		from.UserAgent = authority.ShortUserAgent(body.UserAgent)
	}
	return from, nil
}
