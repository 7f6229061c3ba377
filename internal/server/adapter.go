package server

import (
	"context"
	"net/http"
	"reflect"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority"
)

// request is what a handler gets besides the decoded body.
type request struct {
	http   *http.Request
	caller authority.Caller // set for authenticated endpoints
}

// response is what a handler returns on success.
type response struct {
	data    any
	message string
	secret  bool   // it has a token or an API key and must not be cached
	cookie  string // the value of Set-Cookie, or ""
	// stream writes the response instead, if it is set.
	stream func(http.ResponseWriter, *http.Request)
}

func ok(data any) response     { return response{data: data} }
func secret(data any) response { return response{data: data, secret: true} }

// endpoint answers a request. ctx has the deadline of the request.
type endpoint func(ctx context.Context, s *server, r *http.Request) (response, error)

// public adapts a handler open to all clients. The adapter reads a body if T has fields.
func public[T any](handler func(context.Context, request, T) (response, error)) endpoint {
	return adapt(nil, handler)
}

// authenticated adapts a handler for callers with a token or an API key. The endpoint is closed to API keys of a narrow
// scope and to sessions with an actor, unless open names them.
func authenticated[T any](
	handler func(context.Context, request, T) (response, error), open ...authority.Access,
) endpoint {
	var all authority.Access
	for _, access := range open {
		all |= access
	}
	return adapt(&all, handler)
}

// adapt adapts a handler. If open is nil, the adapter does not authenticate.
func adapt[T any](open *authority.Access, handler func(context.Context, request, T) (response, error)) endpoint {
	hasBody := reflect.TypeFor[T]().NumField() > 0
	return func(ctx context.Context, s *server, r *http.Request) (response, error) {
		// The body comes first: a client may send it long after the headers, and the caller may have been signed out
		// meanwhile. Only authenticated callers get the error for a wrong body.
		var body T
		var bodyErr error
		if hasBody {
			bodyErr = decode(r, &body)
		}
		req := request{http: r}
		if open != nil {
			var err error
			if req.caller, err = s.authenticate(ctx, r, *open, unsafeMethod); err != nil {
				return response{}, err
			}
		}
		if bodyErr != nil {
			return response{}, bodyErr
		}
		return handler(ctx, req, body)
	}
}

// authenticate returns the caller named by the credentials of a request. The endpoint must be open to the caller. A
// page of another origin must not send method (see cookies.check).
func (s *server) authenticate(
	ctx context.Context, r *http.Request, open authority.Access, method string,
) (caller authority.Caller, err error) {
	c, err := s.credentials(r, method)
	if err != nil {
		return caller, err
	}
	if r.URL.Path == sessionPath && r.Header.Get("Cache-Control") == "no-cache" { // a verifier asks
		open |= authority.Strict
	}
	caller, err = s.authority.Authenticate(ctx, c.token, c.apiKey, open)
	caller.Address = clientIP(r)
	if err == nil && c.byCookie && !caller.Cookie {
		err = errNotOfCookie
	}
	if err != nil && c.byCookie {
		err = cookieError{err, false}
	}
	return caller, err
}

// serve runs an endpoint and writes its response.
func (s *server) serve(w http.ResponseWriter, r *http.Request, e endpoint) {
	ctx := s.requestContext(w, r)
	result, err := e(ctx, s, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if result.stream != nil {
		result.stream(w, r)
		return
	}
	if result.secret {
		w.Header()["Cache-Control"] = noStore
	}
	if result.cookie != "" {
		w.Header().Add("Set-Cookie", result.cookie)
	}
	write(w, http.StatusOK, api.Envelope[any]{Success: true, Data: result.data, Message: result.message})
}

// The shared header values of all responses. Sharing them saves allocations, and net/http only reads them.
var (
	noStore  = []string{"no-store"}
	typeJSON = []string{"application/json; charset=utf-8"}
	noSniff  = []string{"nosniff"}
)

func write(w http.ResponseWriter, status int, envelope api.Envelope[any]) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	*buffer = appendEnvelope((*buffer)[:0], envelope)
	h := w.Header()
	h["Content-Type"] = typeJSON
	h["X-Content-Type-Options"] = noSniff
	w.WriteHeader(status)
	_, _ = w.Write(*buffer) // fails only if the client has disconnected
}
