// Gateway is an API behind a gateway that asks Pawl about each request. It trusts the X-Auth-* headers, so only the
// gateway may reach it.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"time"
)

func main() {
	server := http.Server{
		Addr:              cmp.Or(os.Getenv("API_ADDR"), "127.0.0.1:9000"),
		Handler:           http.HandlerFunc(hello),
		ReadHeaderTimeout: 10 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}

func hello(w http.ResponseWriter, r *http.Request) {
	login, err := url.PathUnescape(r.Header.Get("X-Auth-Login"))
	if err != nil || login == "" { // the gateway is misconfigured; reject all
		http.Error(w, "no X-Auth-Login", http.StatusUnauthorized)
		return
	}
	fmt.Fprintf(w, "hello %s, %s\n", login, r.Header.Get("X-Auth-Level"))
}
