// Provider is an OpenID Connect provider with one user, for the example and its test: the example server of
// github.com/zitadel/oidc. It keeps everything in memory. Never use it for real users.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"log"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

func main() {
	addr := cmp.Or(os.Getenv("PROVIDER_ADDR"), "127.0.0.1:9998")
	shop := cmp.Or(os.Getenv("API_ADDR"), "127.0.0.1:9000")
	storage.RegisterClients(storage.WebClient("shop", "secret", "http://"+shop+"/callback"))
	users := provider{storage.NewStorage(directory{
		ID: "id-17", Username: "ada", Password: "correct horse",
		FirstName: "Ada", LastName: "Lovelace", Email: "ada@shop.example", EmailVerified: true,
	})}
	server := http.Server{
		Addr:              addr,
		Handler:           exampleop.SetupServer("http://"+addr+"/", users, slog.New(slog.DiscardHandler), false),
		ReadHeaderTimeout: 10 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}

// directory has one user.
type directory storage.User

func (d directory) GetUserByID(id string) *storage.User {
	if id != d.ID {
		return nil
	}
	return (*storage.User)(&d)
}

func (d directory) GetUserByUsername(name string) *storage.User {
	if name != d.Username {
		return nil
	}
	return (*storage.User)(&d)
}

func (directory) ExampleClientID() string { return storage.ServiceUserID }

// provider issues ID tokens that are assertions for Pawl too: with a jti, and valid for 5 minutes. They have the name
// and the email of the user.
type provider struct{ *storage.Storage }

// GetClientByClientID returns a client with such ID tokens.
func (p provider) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	client, err := p.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	return assertionClient{client}, nil
}

type assertionClient struct{ op.Client }

func (assertionClient) IDTokenLifetime() time.Duration       { return 5 * time.Minute }
func (assertionClient) IDTokenUserinfoClaimsAssertion() bool { return true }

// SetUserinfoFromRequest sets the claims of an ID token.
func (p provider) SetUserinfoFromRequest(
	ctx context.Context, info *oidc.UserInfo, request op.IDTokenRequest, scopes []string,
) error {
	info.AppendClaims("jti", rand.Text())
	return p.Storage.SetUserinfoFromRequest(ctx, info, request, scopes)
}
