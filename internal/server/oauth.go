package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// The OAuth endpoints are outside the envelope: their responses and errors have the forms of OAuth's RFCs.

const formType = "application/x-www-form-urlencoded"

// oauthErrorTable is the table of errors of the OAuth endpoints: the status and the error code of RFC 6749, 5.2. The
// last three codes are from 4.1.2.1.
var oauthErrorTable = map[fault.Kind]struct {
	status int
	code   string
}{
	fault.InvalidParameter:   {http.StatusBadRequest, "invalid_request"},
	fault.Duplicate:          {http.StatusBadRequest, "invalid_request"},
	fault.InvalidCredentials: {http.StatusUnauthorized, "invalid_client"},
	fault.InvalidSession:     {http.StatusUnauthorized, "invalid_client"},
	fault.InvalidAPIKey:      {http.StatusUnauthorized, "invalid_client"},
	fault.AccessDenied:       {http.StatusBadRequest, "unauthorized_client"},
	fault.NotFound:           {http.StatusNotFound, "invalid_request"},
	fault.RateLimited:        {http.StatusTooManyRequests, "temporarily_unavailable"},
	fault.Unavailable:        {http.StatusServiceUnavailable, "temporarily_unavailable"},
	fault.Internal:           {http.StatusInternalServerError, "server_error"},
}

const keyForms = "as X-API-Key, as a Bearer token, as the password of Basic, or as client_secret in the form."

// The ways to send an API key that the server metadata names. X-API-Key is Pawl's own, and has no registered name.
var (
	clientAuthMethods     = []string{"client_secret_basic", "client_secret_post"}
	introspectAuthMethods = append(slices.Clone(clientAuthMethods), "Bearer")
)

var (
	errNoClient = &fault.Error{Kind: fault.InvalidAPIKey, Message: "An API key is missing; send it " + keyForms}
	errTwoKeys  = invalid("More than one credential was sent; send the API key once: " + keyForms)
	errFormType = &statusError{http.StatusUnsupportedMediaType,
		invalid("The body must be a form; send Content-Type: " + formType + ".")}
	errFormTwice = invalid("A field of the form occurs twice; send each field once.")
	errForm      = invalid("The body is not a valid form; encode it as " + formType + ".")
)

// isOAuth reports whether the errors of a path have the form of OAuth.
func isOAuth(path string) bool {
	return strings.HasPrefix(path, "/oauth2/") || strings.HasPrefix(path, "/.well-known/")
}

// oauthHandler answers a request. ctx has the deadline of the request.
type oauthHandler func(ctx context.Context, w http.ResponseWriter, r *http.Request) error

// handleOAuth adds a path with one method.
func (s *server) handleOAuth(path, method string, handler oauthHandler) {
	allow := methods{method: nil}.allow()
	s.handleAnyMethod(path, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method && !(method == http.MethodGet && r.Method == http.MethodHead) {
			w.Header().Set("Allow", allow)
			s.failOAuth(w, r, &statusError{http.StatusMethodNotAllowed,
				invalid("This path does not support this method; use " + allow + ".")})
			return
		}
		ctx := s.requestContext(w, r)
		if err := handler(ctx, w, r); err != nil {
			s.failOAuth(w, r, err)
		}
	})
}

// failOAuth answers with an error in the form of RFC 6749, 5.2.
func (s *server) failOAuth(w http.ResponseWriter, r *http.Request, err error) {
	known := s.explain(w, r, err)
	row := oauthErrorTable[known.Kind]
	if special, ok := errors.AsType[*statusError](err); ok {
		row.status = special.status
	}
	if special, ok := errors.AsType[*grantError](err); ok {
		row.code = special.code
	}
	if row.status == http.StatusUnauthorized {
		challenges := []string{`Bearer realm="pawl"`, `Basic realm="pawl"`}
		if r.Header.Get("Sec-Fetch-Mode") != "" && r.Header.Get("Authorization") == "" {
			challenges = challenges[:1] // for Basic, a browser would ask its user for a password
		}
		w.Header()["Www-Authenticate"] = challenges
	}
	if known.RetryAfter > 0 {
		w.Header().Set("Retry-After", retryAfter(known))
	}
	if errors.Is(err, errBodyCompressed) {
		w.Header().Set("Accept-Encoding", "identity")
	}
	writeOAuth(w, row.status, "no-store", api.OAuthError{Code: row.code, Description: known.Message})
}

// writeOAuth answers with JSON without an envelope.
func writeOAuth(w http.ResponseWriter, status int, cache string, data any) {
	h := w.Header()
	h["Content-Type"] = typeJSON
	h["X-Content-Type-Options"] = noSniff
	h.Set("Cache-Control", cache)
	w.WriteHeader(status)
	if active, ok := data.(api.Introspection); ok {
		buffer := buffers.Get().(*[]byte)
		defer buffers.Put(buffer)
		if *buffer, ok = appendIntrospection((*buffer)[:0], active); ok {
			_, _ = w.Write(*buffer) // fails only if the client has disconnected
			return
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(data) // fails only if the client has disconnected
}

// introspect answers /oauth2/introspect (RFC 7662). An inactive token and a token hidden from the caller get the same
// response.
func (s *server) introspect(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	key, text, err := s.tokenForm(ctx, r, introspectOpen)
	if err != nil {
		return err
	}
	t, active, err := s.authority.Introspect(ctx, key, introspectOpen, text)
	if err != nil {
		return err
	}
	if !active {
		writeOAuth(w, http.StatusOK, "no-store", map[string]bool{"active": false})
		return nil
	}
	answer := api.Introspection{
		Active: true, Subject: strconv.FormatInt(t.Subject, 10), Username: t.User.Login, TokenType: "Bearer",
		Issuer: t.Issuer, Audience: t.Audience, IssuedAt: t.IssuedAt, Expires: t.Expires,
		ID: t.ID(), SessionID: t.Session.String(), AuthLevel: api.Level(t.User.Level.String()),
		NetworkID: t.User.NetworkID, MailboxID: t.User.MailboxID, ExternalID: t.User.ExternalID,
	}
	if t.ActorID != 0 {
		answer.Actor = &api.Actor{Subject: strconv.FormatInt(t.ActorID, 10)}
	}
	if t.Extra != "" {
		answer.Extra = json.RawMessage(t.Extra)
	}
	writeOAuth(w, http.StatusOK, "no-store", answer)
	return nil
}

// revoke answers /oauth2/revoke. RFC 7009 requires 200 for an invalid token too.
func (s *server) revoke(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	key, text, err := s.tokenForm(ctx, r, revokeOpen)
	if err != nil {
		return err
	}
	caller, err := s.authority.Authenticate(ctx, "", key, revokeOpen)
	if err == nil {
		caller.Address = origin(r).IP
		err = s.authority.Revoke(ctx, caller, text)
	}
	if err == nil {
		w.Header().Set("Cache-Control", "no-store")
	}
	return err
}

// tokenForm returns the caller's API key and the token of the form. It ignores the hint, because there is only one type
// of token. If the form is not valid, tokenForm authenticates the caller first, for the same reason as adapt.
func (s *server) tokenForm(
	ctx context.Context, r *http.Request, open authority.Access,
) (key, text string, err error) {
	form, formErr := readForm(r)
	if key, err = clientKey(r, form); err != nil {
		return "", "", err
	}
	if text = form.Get("token"); formErr == nil && text != "" {
		return key, text, nil
	}
	if _, err := s.authority.Authenticate(ctx, "", key, open); err != nil {
		return "", "", err
	}
	return "", "", cmp.Or(formErr, error(invalid("token is missing; send it in the form.")))
}

// clientKey returns the API key of the caller. The caller may send it in one of four forms, but only once (RFC 6749,
// 2.3). Any client_id is accepted, because the API key alone identifies the client.
func clientKey(r *http.Request, form url.Values) (string, error) {
	var keys []string
	key, err := apiKey(r)
	if err != nil {
		return "", err
	}
	if key != "" {
		keys = append(keys, key)
	}
	for _, header := range r.Header["Authorization"] {
		if key, ok := keyOfHeader(header); ok {
			keys = append(keys, key)
		} else {
			return "", errNoClient
		}
	}
	keys = append(keys, form["client_secret"]...)
	switch {
	case len(keys) > 1:
		return "", errTwoKeys
	case len(keys) == 0 || keys[0] == "":
		return "", errNoClient
	}
	return keys[0], nil
}

// keyOfHeader returns the API key of an Authorization header. A library that follows RFC 6749, 2.3.1, encodes the
// password of Basic as in a form, so that "_" becomes "%5F".
func keyOfHeader(header string) (key string, ok bool) {
	r := http.Request{Header: http.Header{"Authorization": {header}}}
	if _, password, ok := r.BasicAuth(); ok {
		if decoded, err := url.QueryUnescape(password); err == nil {
			return decoded, true
		}
		return password, true
	}
	scheme, rest, _ := strings.Cut(header, " ")
	return strings.TrimLeft(rest, " "), strings.EqualFold(scheme, "Bearer")
}

// readForm reads the form of a request. No field may occur twice (RFC 6749, 3.2).
func readForm(r *http.Request) (url.Values, error) {
	if contentType := r.Header.Get("Content-Type"); contentType != formType {
		if media, _, err := mime.ParseMediaType(contentType); err != nil || media != formType {
			return nil, errFormType
		}
	}
	if isCompressed(r) {
		return nil, errBodyCompressed
	}
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	body, err := readBody((*buffer)[:0], r.Body)
	*buffer = body
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errForm
	}
	for _, values := range form {
		if len(values) > 1 {
			return form, errFormTwice
		}
	}
	return form, nil
}
