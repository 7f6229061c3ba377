package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/pawlauth/pawl/api"
)

// jwks is the public keys, for those who verify tokens by themselves (RFC 7517,
// 5). HS256 has none.
func (s *Server) jwks(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
	keys, maxAge := s.authority.PublicKeys(ctx)
	set := struct {
		Keys []json.RawMessage `json:"keys"`
	}{make([]json.RawMessage, len(keys))}
	for i, key := range keys {
		jwk, err := key.MarshalJWK()
		if err != nil {
			return err
		}
		set.Keys[i] = jwk
	}
	writePlain(w, http.StatusOK, fmt.Sprint("public, max-age=", int64(maxAge.Seconds())), set)
	return nil
}

// metadata is RFC 8414. What it says of grants needs a word: there is no
// authorization endpoint, and a login is not one of OAuth's grants. But the RFC
// wants response types, and takes grant types that are left out for two that are
// not there. So the one is the registered "none", and the other is empty.
func (s *Server) metadata(_ context.Context, w http.ResponseWriter, r *http.Request) error {
	base, cache := s.base(r)
	issuer := s.authority.Issuer()
	if !strings.HasPrefix(issuer, "https://") && !strings.HasPrefix(issuer, "http://") {
		issuer = base
	}
	writePlain(w, http.StatusOK, cache, api.ServerMetadata{
		Issuer: issuer, JWKS: base + "/.well-known/jwks.json",
		ResponseTypes: []string{"none"}, GrantTypes: []string{},
		Introspection: base + "/oauth2/introspect", IntrospectionAuthMethods: []string{"client_secret_basic", "Bearer"},
		Revocation: base + "/oauth2/revoke", RevocationAuthMethods: []string{"client_secret_basic"},
		Documentation: base + "/docs",
	})
	return nil
}

// base is where clients reach the server, and how long an answer with it may be
// kept: not at all if it is the request's own Host, which its sender chooses.
func (s *Server) base(r *http.Request) (url, cache string) {
	if s.publicURL != "" {
		return s.publicURL, "public, max-age=300"
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + cmp.Or(r.Host, "localhost"), "no-store"
}
