// Receiver accepts the security event tokens that Pawl pushes when a session ends, and prints each event once.
package main

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

func main() {
	r := &receiver{
		jwks:          cmp.Or(os.Getenv("PAWL_URL"), "http://127.0.0.1:8080") + "/.well-known/jwks.json",
		issuer:        cmp.Or(os.Getenv("PAWL_ISSUER"), "pawl"),
		audience:      cmp.Or(os.Getenv("RECEIVER_AUDIENCE"), "receiver"),
		authorization: os.Getenv("RECEIVER_AUTHORIZATION"), // "" accepts every sender: the signature is enough
		out:           os.Stdout,
		seen:          map[string]bool{},
	}
	server := http.Server{
		Addr:        cmp.Or(os.Getenv("API_ADDR"), "127.0.0.1:9000"),
		Handler:     r,
		ReadTimeout: 10 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}

const (
	sessionRevoked = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
	verification   = "https://schemas.openid.net/secevent/ssf/event-type/verification"

	maxBody    = 64 << 10
	minRefetch = 5 * time.Second // between two reads of the keys, because anyone can send a token of an unknown key
)

// receiver is the handler of the pushed tokens.
type receiver struct {
	jwks, issuer, audience, authorization string
	out                                   io.Writer

	mu      sync.Mutex // guards the fields below
	keys    jose.JSONWebKeySet
	fetched time.Time
	// seen has the jti of each event that was handled. A receiver that may restart keeps them in its database, and adds
	// one in the same transaction as the effect of the event.
	seen map[string]bool
}

// event has the claims of a token (RFC 8417).
type event struct {
	jwt.Claims
	About struct {
		Format  string   `json:"format"`
		Subject string   `json:"sub"`
		User    *subject `json:"user"`
		Session *subject `json:"session"`
	} `json:"sub_id"`
	Events map[string]json.RawMessage `json:"events"`
}

type subject struct {
	Subject string `json:"sub"`
	ID      string `json:"id"`
}

// rejection is the body of a 400 (RFC 8935, 2.3).
type rejection struct {
	Code        string `json:"err"`
	Description string `json:"description"`
}

func (r *rejection) Error() string { return r.Code + ": " + r.Description }

// errKeys means that the keys of Pawl cannot be read now, so that Pawl has to send the token again.
var errKeys = errors.New("the keys of Pawl cannot be read")

// ServeHTTP accepts a token: 202 once its event is handled, 400 if the token will not be accepted, or 503.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	err := r.receive(w, req)
	rejected, ok := errors.AsType[*rejection](err)
	switch {
	case err == nil:
		w.WriteHeader(http.StatusAccepted)
	case ok:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(rejected)
	default:
		log.Print(err)
		http.Error(w, "try again", http.StatusServiceUnavailable)
	}
}

func (r *receiver) receive(w http.ResponseWriter, req *http.Request) error {
	sent := []byte(req.Header.Get("Authorization"))
	if r.authorization != "" && subtle.ConstantTimeCompare(sent, []byte(r.authorization)) == 0 {
		return &rejection{Code: "authentication_failed", Description: "the Authorization header is wrong"}
	}
	if req.Method != http.MethodPost || req.Header.Get("Content-Type") != "application/secevent+jwt" {
		return &rejection{Code: "invalid_request", Description: "POST an application/secevent+jwt"}
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		return err
	}
	e, err := r.verify(req.Context(), string(text))
	if err != nil {
		return err
	}
	r.handle(e)
	return nil
}

// verify returns the claims of a token that Pawl has signed for this receiver. It does not check the time: a token that
// was delayed is as valid as a new one.
func (r *receiver) verify(ctx context.Context, text string) (event, error) {
	var e event
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256})
	if err != nil || token.Headers[0].ExtraHeaders[jose.HeaderType] != "secevent+jwt" {
		return e, &rejection{Code: "invalid_request", Description: "not a security event token"}
	}
	keys, err := r.find(ctx, token.Headers[0].KeyID)
	if err != nil {
		return e, err
	}
	if len(keys) == 0 || token.Claims(keys[0].Key, &e) != nil {
		return e, &rejection{Code: "invalid_key", Description: "not signed with a key of Pawl"}
	}
	switch {
	case e.Issuer != r.issuer:
		return e, &rejection{Code: "invalid_issuer", Description: "the issuer is not " + r.issuer}
	case !slices.Contains(e.Audience, r.audience):
		return e, &rejection{Code: "invalid_audience", Description: "the audience is not " + r.audience}
	case e.ID == "" || len(e.Events) == 0:
		return e, &rejection{Code: "invalid_request", Description: "jti or events are missing"}
	}
	return e, nil
}

// find returns the keys with an id. It reads the keys of Pawl if there is none.
func (r *receiver) find(ctx context.Context, id string) ([]jose.JSONWebKey, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if found := r.keys.Key(id); len(found) > 0 || time.Since(r.fetched) < minRefetch {
		return found, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.jwks, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errKeys, err)
	}
	defer response.Body.Close()
	var keys jose.JSONWebKeySet
	if err := json.NewDecoder(io.LimitReader(response.Body, maxBody)).Decode(&keys); err != nil {
		return nil, fmt.Errorf("%w: %s, %w", errKeys, response.Status, err)
	}
	r.keys, r.fetched = keys, time.Now()
	return r.keys.Key(id), nil
}

// handle prints an event, unless it was handled before.
func (r *receiver) handle(e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen[e.ID] {
		return
	}
	r.seen[e.ID] = true
	_, revoked := e.Events[sessionRevoked]
	_, verified := e.Events[verification]
	switch {
	case revoked && e.About.Session != nil:
		fmt.Fprintf(r.out, "the session %s has ended\n", e.About.Session.ID)
	case revoked:
		fmt.Fprintf(r.out, "all sessions of user %s have ended\n", e.About.Subject)
	case verified:
		fmt.Fprintln(r.out, "a test")
	}
}
