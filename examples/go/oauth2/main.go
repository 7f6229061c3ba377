// Oauth2 refreshes a session of Pawl with golang.org/x/oauth2 alone, and prints the new token.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"golang.org/x/oauth2"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: oauth2 TOKEN")
	}
	pawl := cmp.Or(os.Getenv("PAWL_URL"), "http://127.0.0.1:8080")
	config := oauth2.Config{Endpoint: oauth2.Endpoint{TokenURL: pawl + "/oauth2/token"}}
	session := oauth2.Token{
		AccessToken: os.Args[1], RefreshToken: os.Args[1],
		Expiry: time.Now(), // so that the library refreshes at once; else the expiresAt of the token
	}
	source := config.TokenSource(context.Background(), &session)
	// A program calls its API with oauth2.NewClient(ctx, source), which asks the source before each request.
	token, err := source.Token()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token.AccessToken)
}
