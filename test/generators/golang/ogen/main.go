// Ogen keeps a session with the client that ogen generates.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/ogen-go/ogen/ogenerrors"

	"github.com/pawlauth/pawl/test/generators/golang/ogen/generated"
)

// credentials has the token of the session. The client skips the other kinds of credentials.
type credentials struct{ token string }

func (c *credentials) Bearer(context.Context, generated.OperationName) (generated.Bearer, error) {
	return generated.Bearer{Token: c.token}, nil
}

func (c *credentials) ApiKey(context.Context, generated.OperationName) (generated.ApiKey, error) {
	return generated.ApiKey{}, ogenerrors.ErrSkipClientSecurity
}

func (c *credentials) Cookie(context.Context, generated.OperationName) (generated.Cookie, error) {
	return generated.Cookie{}, ogenerrors.ErrSkipClientSecurity
}

func (c *credentials) KeyAsBearer(context.Context, generated.OperationName) (generated.KeyAsBearer, error) {
	return generated.KeyAsBearer{}, ogenerrors.ErrSkipClientSecurity
}

func (c *credentials) KeyAsPassword(context.Context, generated.OperationName) (generated.KeyAsPassword, error) {
	return generated.KeyAsPassword{}, ogenerrors.ErrSkipClientSecurity
}

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	var held credentials
	client, err := generated.NewClient(os.Getenv("PAWL_URL"), &held)
	if err != nil {
		return err
	}
	answer, err := client.Login(ctx, &generated.LoginRequest{
		Login:    generated.NewOptLogin(generated.Login(os.Getenv("PAWL_LOGIN"))),
		Password: generated.NewOptString(os.Getenv("PAWL_PASSWORD")),
	})
	loggedIn, ok := answer.(*generated.TokenEnvelopeHeaders)
	if !ok {
		return fmt.Errorf("login: %+v, %v", answer, err)
	}
	first := loggedIn.Response.Data.Token
	fmt.Println("login:", loggedIn.Response.Data.UserId)

	request := generated.NewOptRefreshRequest(generated.RefreshRequest{
		Token: generated.NewOptJWT(generated.JWT(first)),
	})
	params := generated.RefreshParams{IdempotencyKey: generated.NewOptString("first refresh")}
	next, err := client.Refresh(ctx, request, params)
	refreshed, ok := next.(*generated.TokenEnvelopeHeaders)
	if !ok {
		return fmt.Errorf("refresh: %+v, %v", next, err)
	}
	held.token = string(refreshed.Response.Data.Token)
	fmt.Println("refresh:", held.token != string(first))
	return useSession(ctx, client)
}

func useSession(ctx context.Context, client *generated.Client) error {
	info, err := client.Session(ctx)
	session, ok := info.(*generated.SessionInfoEnvelopeHeaders)
	if !ok || session.Response.Data.ExpiresAt.IsNull() {
		return fmt.Errorf("session: %+v, %v", info, err)
	}
	fmt.Println("session:", session.Response.Data.Login, session.Response.Data.AuthLevel)
	sessions, err := client.ListSessions(ctx, generated.OptSessionsRequest{})
	list, ok := sessions.(*generated.SessionsEnvelopeHeaders)
	if !ok {
		return fmt.Errorf("list: %+v, %v", sessions, err)
	}
	fmt.Println("list:", len(list.Response.Data), list.Response.Data[0].Current)

	answer, err := client.Logout(ctx)
	logout, ok := answer.(*generated.LoggedOutEnvelopeHeaders)
	if !ok {
		return fmt.Errorf("logout: %+v, %v", answer, err)
	}
	fmt.Println("logout:", logout.Response.Message)
	answerAfter, err := client.Session(ctx)
	after, ok := answerAfter.(*generated.UnauthorizedHeaders)
	if !ok {
		return fmt.Errorf("session after the logout: %+v, %v", answerAfter, err)
	}
	fmt.Println("session:", after.Response.ErrorCode)
	return nil
}
