package server

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// The paths that OAuth's RFCs define. They are outside the envelope: answers and
// errors have the RFCs' own form.

const formType = "application/x-www-form-urlencoded"

// oauthAnswers is the table of errors here: the status and RFC 6749's word
// (5.2; the last three are those of 4.1.2.1).
var oauthAnswers = map[fault.Kind]struct {
	status int
	code   string
}{
	fault.InvalidParameter: {http.StatusBadRequest, "invalid_request"},
	fault.InvalidAPIKey:    {http.StatusUnauthorized, "invalid_client"},
	fault.AccessDenied:     {http.StatusBadRequest, "unauthorized_client"},
	fault.NotFound:         {http.StatusNotFound, "invalid_request"},
	fault.RateLimited:      {http.StatusTooManyRequests, "temporarily_unavailable"},
	fault.Unavailable:      {http.StatusServiceUnavailable, "temporarily_unavailable"},
	fault.Internal:         {http.StatusInternalServerError, "server_error"},
}

var (
	errNoClient  = &fault.Error{Kind: fault.InvalidAPIKey, Message: "Send an API key: as X-API-Key, as a Bearer, or as the password of Basic."}
	errTwoKeys   = invalid("Send the API key once: as X-API-Key, as a Bearer, or as the password of Basic.")
	errFormType  = &statusError{http.StatusUnsupportedMediaType, invalid("The body must be a form; send Content-Type: " + formType + ".")}
	errFormLarge = &statusError{http.StatusRequestEntityTooLarge, invalid("The body is larger than 16 KiB; send less.")}
)

// ofOAuth reports whether a path is one of these, or would be.
func ofOAuth(path string) bool {
	return strings.HasPrefix(path, "/oauth2/") || strings.HasPrefix(path, "/.well-known/")
}

func (s *Server) oauthRoutes() {
	s.plain("/.well-known/jwks.json", http.MethodGet, s.jwks)
	s.plain("/.well-known/oauth-authorization-server", http.MethodGet, s.metadata)
	s.plain("/oauth2/introspect", http.MethodPost, s.introspect)
	s.plain("/oauth2/revoke", http.MethodPost, s.revoke)
}

// plainHandler answers a request whose deadline is set.
type plainHandler func(ctx context.Context, w http.ResponseWriter, r *http.Request) error

// plain adds a path with one method, whose errors are OAuth's.
func (s *Server) plain(path, method string, handler plainHandler) {
	s.paths = append(s.paths, path)
	allow := methods{method: nil}.allow()
	s.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method && !(method == http.MethodGet && r.Method == http.MethodHead) {
			w.Header().Set("Allow", allow)
			s.failOAuth(w, r, &statusError{http.StatusMethodNotAllowed, invalid("This path does not answer this method; use " + allow + ".")})
			return
		}
		ctx, cancel := requestContext(w, r)
		defer cancel()
		if err := handler(ctx, w, r); err != nil {
			s.failOAuth(w, r, err)
		}
	})
}

// failOAuth is fail, in the form of RFC 6749, 5.2.
func (s *Server) failOAuth(w http.ResponseWriter, r *http.Request, err error) {
	known, ok := errors.AsType[*fault.Error](err)
	if !ok {
		s.log.ErrorContext(withRequestID(r.Context(), w), "internal error", "path", r.Pattern, "err", err)
		known = &fault.Error{Message: "Something went wrong on our side; report request id " + answerID(w) + "."}
	} else if known.Err != nil {
		s.log.WarnContext(withRequestID(r.Context(), w), "request refused", "path", r.Pattern, "err", known.Err)
	}
	a := oauthAnswers[known.Kind]
	if special, ok := errors.AsType[*statusError](err); ok {
		a.status = special.status
	}
	if a.status == http.StatusUnauthorized {
		w.Header()["Www-Authenticate"] = []string{`Bearer realm="pawl"`, `Basic realm="pawl"`}
	}
	if known.RetryAfter > 0 {
		w.Header().Set("Retry-After", retryAfter(known))
	}
	writePlain(w, a.status, "no-store", api.OAuthError{Code: a.code, Description: known.Message})
}

// writePlain answers with JSON that has no envelope.
func writePlain(w http.ResponseWriter, status int, cache string, data any) {
	h := w.Header()
	h["Content-Type"] = typeJSON
	h["X-Content-Type-Options"] = noSniffing
	h.Set("Cache-Control", cache)
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(data) // the client is gone: nobody to tell
}

// introspect is RFC 7662. What is not active, or not the caller's to know, has
// one answer.
func (s *Server) introspect(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	caller, text, err := s.tokenForm(ctx, r)
	if err != nil {
		return err
	}
	t, active, err := s.authority.Introspect(ctx, caller, text)
	if err != nil {
		return err
	}
	if !active {
		writePlain(w, http.StatusOK, "no-store", map[string]bool{"active": false})
		return nil
	}
	writePlain(w, http.StatusOK, "no-store", api.Introspection{Active: true, Subject: strconv.FormatInt(t.Subject, 10), Username: t.User.Login,
		TokenType: "Bearer", Issuer: t.Issuer, Audience: t.Audience, IssuedAt: t.IssuedAt, Expires: t.Expires, ID: t.ID(), SessionID: t.Session.String(),
		AuthLevel: api.Level(t.User.Level.String()), NetworkID: t.User.NetworkID, MailboxID: t.User.MailboxID})
	return nil
}

// revoke is RFC 7009: 200 for a token that is not good, too.
func (s *Server) revoke(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	caller, text, err := s.tokenForm(ctx, r)
	if err == nil {
		err = s.authority.Revoke(ctx, caller, text)
	}
	if err == nil {
		w.Header().Set("Cache-Control", "no-store")
	}
	return err
}

// tokenForm finds the caller, and reads the one token of the form. The hint is
// passed over: there is one type of token.
func (s *Server) tokenForm(ctx context.Context, r *http.Request) (caller authority.Caller, text string, err error) {
	key, err := clientKey(r)
	if err != nil {
		return caller, "", err
	}
	if caller, err = s.authority.Authenticate(ctx, "", key); err != nil {
		return caller, "", err
	}
	caller.Address = origin(r).IP
	form, err := readForm(r)
	if err != nil {
		return caller, "", err
	}
	for _, name := range []string{"token", "token_type_hint"} {
		if len(form[name]) > 1 {
			return caller, "", invalid(name + " is there twice; send it once.") // RFC 6749, 3.2
		}
	}
	if text = form.Get("token"); text == "" {
		return caller, "", invalid("token is missing; send it in the form.")
	}
	return caller, text, nil
}

// clientKey returns the API key that the caller proves itself with: in one of
// three places, and in no more (RFC 6749, 2.3). With Basic the user name, which
// a library sends as client_id, may be any.
func clientKey(r *http.Request) (string, error) {
	headers := r.Header["Authorization"]
	key, err := apiKey(r)
	switch {
	case err != nil:
		return "", err
	case len(headers) > 1 || len(headers) == 1 && key != "":
		return "", errTwoKeys
	case len(headers) == 0 && key == "":
		return "", errNoClient
	case key != "":
		return key, nil
	}
	if _, password, ok := r.BasicAuth(); ok {
		return password, nil
	}
	if scheme, rest, _ := strings.Cut(headers[0], " "); strings.EqualFold(scheme, "Bearer") {
		return strings.TrimLeft(rest, " "), nil
	}
	return "", errNoClient
}

func readForm(r *http.Request) (url.Values, error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != formType {
		return nil, errFormType
	}
	body, err := readAll(nil, r.Body)
	switch {
	case errors.Is(err, errFull):
		return nil, errFull
	case err != nil:
		return nil, invalid("The body could not be read whole; send it again.")
	case len(body) > api.MaxBodyBytes:
		return nil, errFormLarge
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, invalid("The body is not a form that can be read.")
	}
	return form, nil
}
