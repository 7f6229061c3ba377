package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// request is what a handler learns of an HTTP request beside its body.
type request struct {
	http   *http.Request
	caller authority.Caller // of a signedIn endpoint
}

// answer is what a handler says on success.
type answer struct {
	data    any
	message string
	secret  bool // carries a token or a key: not to be stored
}

func ok(data any) answer     { return answer{data: data} }
func secret(data any) answer { return answer{data: data, secret: true} }

// endpoint answers a request whose deadline is set.
type endpoint func(ctx context.Context, s *Server, r *http.Request) (answer, error)

// open adapts a handler that anyone may call. A body is read if T has fields.
func open[T any](handler func(context.Context, request, T) (answer, error)) endpoint {
	return adapt(false, handler)
}

// signedIn adapts a handler for callers with a token or a key.
func signedIn[T any](handler func(context.Context, request, T) (answer, error)) endpoint {
	return adapt(true, handler)
}

func adapt[T any](authenticate bool, handler func(context.Context, request, T) (answer, error)) endpoint {
	hasBody := reflect.TypeFor[T]().NumField() > 0
	return func(ctx context.Context, s *Server, r *http.Request) (answer, error) {
		req := request{http: r}
		if authenticate {
			var err error
			if req.caller, err = s.caller(ctx, r); err != nil {
				return answer{}, err
			}
		}
		var body T
		if hasBody {
			if err := decode(r, &body); err != nil {
				return answer{}, err
			}
		}
		return handler(ctx, req, body)
	}
}

// caller finds who sent the request.
func (s *Server) caller(ctx context.Context, r *http.Request) (authority.Caller, error) {
	key, err := apiKey(r)
	if err != nil {
		return authority.Caller{}, err
	}
	bearer, err := bearerToken(r)
	if err != nil {
		return authority.Caller{}, err
	}
	c, err := s.authority.Authenticate(ctx, bearer, key)
	c.Address = origin(r).IP
	return c, err
}

// serve runs an endpoint within the request's deadline.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, e endpoint) {
	ctx, cancel := requestContext(w, r)
	defer cancel()
	a, err := e(ctx, s, r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	if a.secret {
		w.Header()["Cache-Control"] = noStore
	}
	write(w, http.StatusOK, api.Envelope[any]{Success: true, Data: a.data, Message: a.message})
}

// Header values that are the same in every answer; net/http only reads them.
var (
	noStore    = []string{"no-store"}
	typeJSON   = []string{"application/json; charset=utf-8"}
	noSniffing = []string{"nosniff"}
)

func write(w http.ResponseWriter, status int, envelope api.Envelope[any]) {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	*buffer = appendEnvelope((*buffer)[:0], envelope)
	h := w.Header()
	h["Content-Type"] = typeJSON
	h["X-Content-Type-Options"] = noSniffing
	w.WriteHeader(status)
	_, _ = w.Write(*buffer) // the client is gone: nobody to tell
}

// decode reads the body: one JSON object in UTF-8 of at most MaxBodyBytes. No
// body at all is an empty object, so that what is missing is said by name.
func decode(r *http.Request, into any) error {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	body, err := readAll((*buffer)[:0], r.Body)
	*buffer = body
	switch {
	case errors.Is(err, errFull):
		return errFull
	case err != nil:
		return invalid("The body could not be read whole; send it again.")
	case len(body) > api.MaxBodyBytes:
		return &statusError{http.StatusRequestEntityTooLarge, invalid("The body is larger than 16 KiB; send less.")}
	case len(body) == 0:
		return nil
	case !isJSON(r.Header.Get("Content-Type")) || fromPage(r) && r.Header.Get("Content-Type") == "":
		return &statusError{http.StatusUnsupportedMediaType, invalid("The body must be JSON; send Content-Type: application/json.")}
	}
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return invalid("The body must be one JSON object.")
	}
	return explainJSON(jsonv2.Unmarshal(body, into, namesMatch))
}

// namesMatch matches names as strings.EqualFold does; by itself the library
// would pass over _ and - too.
var namesMatch = jsonv2.JoinOptions(jsonv2.MatchCaseInsensitiveNames(true), jsonv1.MatchCaseSensitiveDelimiter(true))

// readAll appends the body to b, but no more than one byte above what is allowed.
func readAll(b []byte, from io.Reader) ([]byte, error) {
	for {
		b = slices.Grow(b, 512)
		n, err := from.Read(b[len(b):min(cap(b), api.MaxBodyBytes+1)])
		b = b[:len(b)+n]
		if err == io.EOF || len(b) > api.MaxBodyBytes {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// isJSON takes application/json in UTF-8, and no Content-Type at all.
func isJSON(contentType string) bool {
	if contentType == "" || contentType == "application/json" {
		return true
	}
	media, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	return err == nil && media == "application/json" && (charset == "" || strings.EqualFold(charset, "utf-8"))
}

// fromPage reports whether a browser's script sent the request. Any site's page
// may send one that names no type, and its visitors would guess passwords from
// addresses that are known: for JSON the browser asks first (CORS).
func fromPage(r *http.Request) bool { return r.Header.Get("Origin") != "" }

func invalid(message string) *fault.Error {
	return &fault.Error{Kind: fault.InvalidParameter, Message: message}
}

// explainJSON says which field is wrong, and never quotes what was in it.
func explainJSON(err error) error {
	if err == nil {
		return nil
	}
	if semantic, ok := errors.AsType[*jsonv2.SemanticError](err); ok {
		return invalid(fmt.Sprintf("%s must be %s.", field(semantic.JSONPointer), kindName(semantic.GoType)))
	}
	if syntactic, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return invalid(field(syntactic.JSONPointer) + " is there twice; send it once.")
		}
		if syntactic.JSONPointer != "" {
			return invalid(fmt.Sprintf("The body is not JSON in UTF-8: it breaks in %s, at byte %d.", field(syntactic.JSONPointer), syntactic.ByteOffset))
		}
		return invalid(fmt.Sprintf("The body is not JSON in UTF-8: it breaks at byte %d.", syntactic.ByteOffset))
	}
	return invalid("The body is not JSON in UTF-8.")
}

// field names the field that a pointer leads to, cut to what fits a message.
func field(pointer jsontext.Pointer) string {
	name := strings.TrimPrefix(string(pointer), "/")
	if len(name) > 64 {
		name = strings.ToValidUTF8(name[:64], "") + "…"
	}
	return name
}

func kindName(t reflect.Type) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == nil:
		return "of another type"
	case t.Kind() == reflect.String:
		return "a string"
	case t.Kind() == reflect.Int64:
		return "an integer"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "of another type"
}

var errBearer = &fault.Error{Kind: fault.InvalidSession,
	Message: "The Authorization header must be one Bearer token; sign in and send the token."}

// bearerToken returns the token of Authorization, or "" if there is no such
// header (RFC 6750, 2.1).
func bearerToken(r *http.Request) (string, error) {
	values := r.Header["Authorization"]
	if len(values) == 0 {
		return "", nil
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.TrimLeft(token, " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errBearer
	}
	return token, nil
}

// apiKey returns X-API-Key, or "" if there is no such header. An empty one is
// sent, and so must be valid: it never is.
func apiKey(r *http.Request) (string, error) {
	values := r.Header["X-Api-Key"]
	switch {
	case len(values) == 0:
		return "", nil
	case len(values) > 1 || values[0] == "":
		return "", &fault.Error{Kind: fault.InvalidAPIKey, Message: "X-API-Key must have one key; send it whole, or leave the header out."}
	}
	return values[0], nil
}

// origin is where the request came from.
func origin(r *http.Request) authority.Origin {
	const most = 256 // bytes of a User-Agent that are kept
	ip, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		ip = r.RemoteAddr
	}
	agent := r.UserAgent()
	if len(agent) > most {
		agent = agent[:most]
	}
	return authority.Origin{IP: ip, UserAgent: strings.ToValidUTF8(agent, "")}
}
