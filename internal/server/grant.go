package server

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

const (
	grantRefreshToken = "refresh_token"                               // RFC 6749, 6
	grantJWTBearer    = "urn:ietf:params:oauth:grant-type:jwt-bearer" // RFC 7523, 2.1
)

// grantTypes are the grants of /oauth2/token, for the server metadata.
var grantTypes = []string{grantRefreshToken, grantJWTBearer}

// grantError is an error with a code that no kind of fault has (RFC 6749, 5.2).
type grantError struct {
	code string
	err  *fault.Error
}

func (e *grantError) Error() string { return e.err.Error() }
func (e *grantError) Unwrap() error { return e.err }

var errGrantType = &grantError{"unsupported_grant_type", invalid(
	"grant_type must be " + grantRefreshToken + " or " + grantJWTBearer + ".")}

// grantToken answers /oauth2/token (RFC 6749, 5.1), so that OAuth libraries can keep a session.
func (s *server) grantToken(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	form, err := readForm(r)
	if err != nil {
		return err
	}
	var issued authority.IssuedToken
	switch form.Get("grant_type") {
	case grantRefreshToken:
		issued, err = s.grantByRefreshToken(ctx, r, form)
	case grantJWTBearer:
		issued, err = s.grantByAssertion(ctx, r, form)
	case "":
		err = invalid("grant_type is missing; send it in the form.")
	default:
		err = errGrantType
	}
	if err != nil {
		return err
	}
	writeOAuth(w, http.StatusOK, "no-store", api.TokenResponse{
		// The token of a replay may have expired, and libraries take 0 for a token that does not expire.
		AccessToken: issued.Token, TokenType: "Bearer", ExpiresIn: max(1, issued.Life), RefreshToken: issued.Token,
	})
	return nil
}

// grantByRefreshToken refreshes a session. The client needs no API key, unless the setting refresh-key requires one.
func (s *server) grantByRefreshToken(
	ctx context.Context, r *http.Request, form url.Values,
) (authority.IssuedToken, error) {
	text := form.Get("refresh_token")
	if text == "" {
		return authority.IssuedToken{}, invalid("refresh_token is missing; send the current token in the form.")
	}
	key, err := clientKey(r, form)
	if err != nil && !isPublicClient(r, form) {
		return authority.IssuedToken{}, err
	}
	idempotencyKey := authority.HashIdempotencyKey(r.Header.Get("Idempotency-Key"))
	issued, err := s.authority.Refresh(ctx, authority.RefreshRequest{
		Token: text, APIKey: key, Open: grantOpen, IdempotencyKey: idempotencyKey, From: origin(r),
	})
	if kind := fault.KindOf(err); kind == fault.InvalidSession || kind == fault.InvalidParameter {
		known := &fault.Error{Kind: fault.InvalidParameter, Message: "The refresh token is not valid; sign in again."}
		err = &grantError{"invalid_grant", known}
	}
	return issued, err
}

// grantByAssertion opens a session for the user named by an assertion. The client authenticates with an API key, or as
// an admin with a token.
func (s *server) grantByAssertion(
	ctx context.Context, r *http.Request, form url.Values,
) (authority.IssuedToken, error) {
	assertion := form.Get("assertion")
	if assertion == "" {
		return authority.IssuedToken{}, invalid("assertion is missing; send a JWT of a trusted issuer in the form.")
	}
	key, err := clientKey(r, form)
	if err != nil {
		return authority.IssuedToken{}, err
	}
	bearer := ""
	if strings.Count(key, ".") == 2 { // a token instead of an API key
		bearer, key = key, ""
	}
	caller, err := s.authority.Authenticate(ctx, bearer, key, grantOpen)
	if err != nil {
		return authority.IssuedToken{}, err
	}
	caller.Address = origin(r).IP
	issued, err := s.authority.OpenByAssertion(ctx, caller, assertion, origin(r))
	switch known, _ := errors.AsType[*fault.Error](err); fault.KindOf(err) {
	case fault.InvalidParameter, fault.NotFound, fault.Duplicate, fault.AccessDenied:
		err = &grantError{"invalid_grant", &fault.Error{Kind: fault.InvalidParameter, Message: known.Message}}
	}
	return issued, err
}

// isPublicClient reports whether a client sends no API key. Some libraries then send a client_id with an empty password
// (RFC 6749, 2.3.1).
func isPublicClient(r *http.Request, form url.Values) bool {
	_, password, basic := r.BasicAuth()
	return r.Header["X-Api-Key"] == nil && form.Get("client_secret") == "" &&
		(r.Header["Authorization"] == nil || basic && password == "")
}
