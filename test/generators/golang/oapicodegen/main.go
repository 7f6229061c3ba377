// Oapicodegen keeps a session with the client that oapi-codegen generates.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/pawlauth/pawl/test/generators/golang/oapicodegen/generated"
)

func main() {
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	client, err := generated.NewClientWithResponses(os.Getenv("PAWL_URL"))
	if err != nil {
		return err
	}
	login, password := os.Getenv("PAWL_LOGIN"), os.Getenv("PAWL_PASSWORD")
	loggedIn, err := client.LoginWithResponse(ctx, generated.LoginRequest{Login: &login, Password: &password})
	if err != nil || loggedIn.JSON200 == nil {
		return fmt.Errorf("login: %v, %v", loggedIn, err)
	}
	first := loggedIn.JSON200.Data.Token
	fmt.Println("login:", loggedIn.JSON200.Data.UserId)

	key := "first refresh"
	params := generated.RefreshParams{IdempotencyKey: &key}
	refreshed, err := client.RefreshWithResponse(ctx, &params, generated.RefreshRequest{Token: &first})
	if err != nil || refreshed.JSON200 == nil {
		return fmt.Errorf("refresh: %v, %v", refreshed, err)
	}
	fmt.Println("refresh:", refreshed.JSON200.Data.Token != first)
	bearer := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+refreshed.JSON200.Data.Token)
		return nil
	}

	session, err := client.SessionWithResponse(ctx, bearer)
	if err != nil || session.JSON200 == nil || session.JSON200.Data.ExpiresAt == nil {
		return fmt.Errorf("session: %v, %v", session, err)
	}
	fmt.Println("session:", session.JSON200.Data.Login, session.JSON200.Data.AuthLevel)
	list, err := client.ListSessionsWithResponse(ctx, generated.SessionsRequest{}, bearer)
	if err != nil || list.JSON200 == nil {
		return fmt.Errorf("list: %v, %v", list, err)
	}
	fmt.Println("list:", len(list.JSON200.Data), list.JSON200.Data[0].Current)

	logout, err := client.LogoutWithResponse(ctx, bearer)
	if err != nil || logout.JSON200 == nil {
		return fmt.Errorf("logout: %v, %v", logout, err)
	}
	fmt.Println("logout:", logout.JSON200.Message)
	after, err := client.SessionWithResponse(ctx, bearer)
	if err != nil || after.JSON401 == nil {
		return fmt.Errorf("session after the logout: %v, %v", after, err)
	}
	fmt.Println("session:", after.JSON401.ErrorCode)
	return nil
}
