// Jwks is an API that verifies tokens itself, with the public keys of Pawl.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/pawlauth/pawl/client"
)

func main() {
	pawl, err := client.New(cmp.Or(os.Getenv("PAWL_URL"), "http://127.0.0.1:8080"))
	if err != nil {
		log.Fatal(err)
	}
	keys := client.NewJWKS(pawl, client.JWKSConfig{}) // set Issuer and Audience if Pawl has such settings
	if err := keys.Fetch(context.Background()); err != nil {
		log.Fatal(err) // a wrong address, or a Pawl without public keys
	}
	signedIn := client.Middleware(pawl, client.MiddlewareConfig{JWKS: keys})
	server := http.Server{
		Addr:              cmp.Or(os.Getenv("API_ADDR"), "127.0.0.1:9000"),
		Handler:           signedIn(http.HandlerFunc(hello)),
		ReadHeaderTimeout: 10 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}

func hello(w http.ResponseWriter, r *http.Request) {
	caller, ok := client.CallerFrom(r.Context())
	if !ok {
		http.Error(w, "not behind the middleware", http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "hello user %d, %s\n", caller.UserID, caller.AuthLevel) // a token has no login
}
