package server

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/pawlauth/pawl/api"
)

// jwks answers with the public keys for services that verify tokens themselves (RFC 7517, 5). HS256 has no public keys.
func (s *server) jwks(ctx context.Context, w http.ResponseWriter, _ *http.Request) error {
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
	writeOAuth(w, http.StatusOK, fmt.Sprint("public, max-age=", int64(maxAge.Seconds())), set)
	return nil
}

const metadataPath = "/.well-known/oauth-authorization-server"

// metadata answers with the server metadata of RFC 8414. The RFC requires response types, but Pawl has no authorization
// endpoint, so the value is the registered "none".
func (s *server) metadata(_ context.Context, w http.ResponseWriter, r *http.Request) error {
	base, cache := s.base(r)
	issuer := s.authority.Issuer()
	if !strings.HasPrefix(issuer, "https://") && !strings.HasPrefix(issuer, "http://") {
		issuer = base
	}
	writeOAuth(w, http.StatusOK, cache, api.ServerMetadata{
		Issuer: issuer, JWKS: base + "/.well-known/jwks.json",
		ResponseTypes: []string{"none"}, GrantTypes: grantTypes,
		Token: base + grantPath, TokenAuthMethods: append(slices.Clone(clientAuthMethods), "none"),
		Introspection:            base + "/oauth2/introspect",
		IntrospectionAuthMethods: introspectAuthMethods,
		Revocation:               base + "/oauth2/revoke", RevocationAuthMethods: clientAuthMethods,
		Documentation: base + "/docs",
	})
	return nil
}

// base returns the URL of the server for clients, and the value of Cache-Control for a response with the URL. Without a
// public URL the response must not be cached, because the URL has the Host from the client.
func (s *server) base(r *http.Request) (url, cache string) {
	if s.publicURL != "" {
		return s.publicURL, "public, max-age=300"
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + cmp.Or(r.Host, "localhost"), "no-store"
}
