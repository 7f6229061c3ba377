package client_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
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
		t.Fatalf("%+v, %v", got, err)
	}
	if err := c.Revoke(ctx, token.Token); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Introspect(ctx, token.Token); err != nil || got != (api.Introspection{}) {
		t.Errorf("%+v, %v", got, err)
	}
	admin, err := server.Client().Login(ctx, pawltest.AdminLogin, pawltest.AdminPassword)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Revoke(ctx, admin.Token); !errors.Is(err, client.ErrAccessDenied) {
		t.Errorf("the session of one above: %v", err)
	}
	if _, err := server.Client().Introspect(ctx, token.Token); !errors.Is(err, client.ErrInvalidAPIKey) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := c.Introspect(ctx, ""); !errors.Is(err, client.ErrInvalidParameter) {
		t.Errorf("without a token: %v", err)
	}
}

// TestIntrospectOfAnother: what is not Pawl's answer is no answer.
func TestIntrospectOfAnother(t *testing.T) {
	for _, answer := range []struct {
		status int
		body   string
	}{{200, "<html>"}, {404, "<html>"}, {400, "{}"}} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(answer.status)
			_, _ = w.Write([]byte(answer.body))
		}))
		if _, err := newClient(t, web.URL).Introspect(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "not Pawl's") {
			t.Errorf("%d %s: %v", answer.status, answer.body, err)
		}
		web.Close()
	}
}

func TestSigningKeys(t *testing.T) {
	server := newPawl(t)
	ctx := t.Context()
	c := server.Client(client.WithAPIKey(server.AdminAPIKey))
	made, err := c.RotateSigningKey(ctx)
	if err != nil || made.State != "Published" {
		t.Fatalf("%+v, %v", made, err)
	}
	if err := c.RetireSigningKey(ctx, api.RetireSigningKeyRequest{KeyID: made.KeyID}); !errors.Is(err, client.ErrInvalidParameter) {
		t.Errorf("before its time: %v", err)
	}
	if err := c.RetireSigningKey(ctx, api.RetireSigningKeyRequest{KeyID: made.KeyID, Now: true}); err != nil {
		t.Error(err)
	}
	if keys, err := c.SigningKeys(ctx); err != nil || len(keys) != 2 || keys[0].State != "Retired" || keys[1].State != "Signing" {
		t.Errorf("%+v, %v", keys, err)
	}
}
