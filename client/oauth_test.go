package client_test

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/pawltest"
)

func TestIntrospectAndRevoke(t *testing.T) {
	server := newPawl(t)
	ctx := t.Context()
	token, err := server.Client().Login(ctx, pawltest.Login, pawltest.Password)
	if err != nil {
		t.Fatal(err)
	}
	c := server.Client(client.WithAPIKey(server.APIKey), client.WithBearer("not sent"))
	got, err := c.Introspect(ctx, token.Token)
	if err != nil || !got.Active || got.Username != pawltest.Login || got.Expires != token.ExpiresAt.Unix() {
		t.Fatalf("introspection %+v, %v", got, err)
	}
	if err := c.Revoke(ctx, token.Token); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Introspect(ctx, token.Token); err != nil || !reflect.DeepEqual(got, api.Introspection{}) {
		t.Errorf("introspection of a revoked token %+v, %v, want an inactive one", got, err)
	}
	admin, err := server.Client().Login(ctx, pawltest.AdminLogin, pawltest.AdminPassword)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Revoke(ctx, admin.Token); !errors.Is(err, client.ErrAccessDenied) {
		t.Errorf("revocation of a higher user's token: %v, want ErrAccessDenied", err)
	}
	if _, err := server.Client().Introspect(ctx, token.Token); !errors.Is(err, client.ErrInvalidAPIKey) {
		t.Errorf("introspection without an API key: %v, want ErrInvalidAPIKey", err)
	}
	if _, err := c.Introspect(ctx, ""); !errors.Is(err, client.ErrInvalidParameter) {
		t.Errorf("introspection without a token: %v, want ErrInvalidParameter", err)
	}
}

// TestIntrospectNotPawl checks the error for responses of servers other than Pawl.
func TestIntrospectNotPawl(t *testing.T) {
	for _, response := range []struct {
		status int
		body   string
	}{{200, "<html>"}, {404, "<html>"}, {400, "{}"}} {
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(response.status)
			_, _ = w.Write([]byte(response.body))
		})
		_, err := newClient(t, url).Introspect(t.Context(), "x")
		if err == nil || !strings.Contains(err.Error(), "not from Pawl") {
			t.Errorf("%d %s: error %v, want one with %q", response.status, response.body, err, "not from Pawl")
		}
	}
}

func TestSigningKeys(t *testing.T) {
	server := newPawl(t)
	ctx := t.Context()
	c := server.Client(client.WithAPIKey(server.AdminAPIKey))
	created, err := c.RotateSigningKey(ctx)
	if err != nil || created.State != api.SigningKeyPublished {
		t.Fatalf("new key %+v, %v, want a published one", created, err)
	}
	early := api.RetireSigningKeyRequest{KeyID: created.KeyID}
	if err := c.RetireSigningKey(ctx, early); !errors.Is(err, client.ErrInvalidParameter) {
		t.Errorf("early retirement: %v, want ErrInvalidParameter", err)
	}
	if err := c.RetireSigningKey(ctx, api.RetireSigningKeyRequest{KeyID: created.KeyID, Now: true}); err != nil {
		t.Error(err)
	}
	keys, err := c.SigningKeys(ctx)
	if err != nil || len(keys) != 2 {
		t.Fatalf("keys %+v, %v, want 2", keys, err)
	}
	if keys[0].State != api.SigningKeyRetired || keys[1].State != api.SigningKeySigning {
		t.Errorf("states %s and %s, want Retired and Signing", keys[0].State, keys[1].State)
	}
}
