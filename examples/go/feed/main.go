// Feed is an API that verifies tokens in memory, and rejects a superseded one within a second.
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
	// An API key of scope Verify is enough, of a user of level NetOps or above.
	pawl, err := client.New(cmp.Or(os.Getenv("PAWL_URL"), "http://127.0.0.1:8080"),
		client.WithAPIKey(os.Getenv("PAWL_API_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	verifier := client.NewVerifier(pawl, client.VerifierConfig{}) // set Issuer and Audience if Pawl has such settings
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := verifier.WaitReady(ctx); err != nil {
		log.Fatal(err) // a wrong address or API key
	}
	signedIn := client.Middleware(pawl, client.MiddlewareConfig{Verifier: verifier})
	mux := http.NewServeMux()
	mux.Handle("/", signedIn(http.HandlerFunc(hello)))
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		s := verifier.Stats()
		fmt.Fprintf(w, "the feed is %s; %d accepted in memory, %d asked\n", s.State, s.Accepted, s.Asked)
	})
	server := http.Server{
		Addr:              cmp.Or(os.Getenv("API_ADDR"), "127.0.0.1:9000"),
		Handler:           mux,
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
	fmt.Fprintf(w, "hello user %d, %s\n", caller.UserID, caller.AuthLevel)
}
