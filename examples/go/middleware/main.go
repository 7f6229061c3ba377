// Middleware is an API that asks Pawl about each request.
package main

import (
	"cmp"
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
	signedIn := client.Middleware(pawl, client.MiddlewareConfig{}) // CacheFor: 5 * time.Second asks less often
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
	fmt.Fprintf(w, "hello %s, %s\n", caller.Login, caller.AuthLevel)
}
