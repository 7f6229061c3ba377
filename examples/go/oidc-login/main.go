// Oidc-login is a shop whose users sign in at an OpenID Connect provider. Pawl keeps the sessions.
package main

import (
	"cmp"
	"context"
	"errors"
	"html/template"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/pawlauth/pawl/client"
)

func main() {
	s, err := newShop(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /sign-in", s.signIn)
	mux.HandleFunc("GET /callback", s.callback)
	mux.HandleFunc("POST /sign-out", s.signOut)
	server := http.Server{
		Addr:              appAddr(),
		Handler:           http.NewCrossOriginProtection().Handler(mux), // no other site may send the form
		ReadHeaderTimeout: 10 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}

func appAddr() string { return cmp.Or(os.Getenv("API_ADDR"), "127.0.0.1:9000") }

type shop struct {
	provider oauth2.Config
	idTokens *oidc.IDTokenVerifier
	pawl     *client.Client
	openers  map[string]opener
}

// newShop reads the endpoints of the provider, and connects to Pawl.
func newShop(ctx context.Context) (*shop, error) {
	issuer := cmp.Or(os.Getenv("OIDC_ISSUER"), "http://127.0.0.1:9998/")
	provider, err := oidc.NewProvider(ctx, issuer)
	if err != nil {
		return nil, err
	}
	id := cmp.Or(os.Getenv("OIDC_CLIENT_ID"), "shop")
	url := cmp.Or(os.Getenv("PAWL_URL"), "http://127.0.0.1:8080")
	pawl, err := client.New(url)
	if err != nil {
		return nil, err
	}
	// The API key opens sessions and does nothing else, so no other call sends it.
	key := os.Getenv("OPEN_SESSIONS_KEY")
	return &shop{
		provider: oauth2.Config{
			ClientID: id, ClientSecret: cmp.Or(os.Getenv("OIDC_CLIENT_SECRET"), "secret"),
			Endpoint: provider.Endpoint(), RedirectURL: "http://" + appAddr() + "/callback",
			Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
		},
		idTokens: provider.Verifier(&oidc.Config{ClientID: id}),
		pawl:     pawl,
		openers: map[string]opener{
			"backend":  backend{pawl.With(client.WithAPIKey(key))}.open,
			"id-token": exchange{url: url, key: key}.open,
		},
	}, nil
}

var page = template.Must(template.New("").Parse(`<!doctype html><title>Shop</title>
{{if .Name}}<p>Hello {{.Name}}</p><form method="post" action="/sign-out"><button>Sign out</button></form>
{{else}}<p>{{.Problem}}</p><p><a href="/sign-in">Sign in</a></p>
<p><a href="/sign-in?open=id-token">Sign in, and let Pawl check the ID token</a></p>{{end}}
`))

type pageData struct{ Name, Problem string }

func show(w http.ResponseWriter, status int, data pageData) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = page.Execute(w, data) // fails only if the browser has disconnected
}

func (s *shop) home(w http.ResponseWriter, r *http.Request) {
	user, err := s.session(w, r)
	switch {
	case errors.Is(err, client.ErrInvalidSession):
		show(w, http.StatusUnauthorized, pageData{Problem: "Please sign in."})
	case err != nil:
		unavailable(w, err)
	default:
		show(w, http.StatusOK, pageData{Name: cmp.Or(user.FirstName, user.Login)})
	}
}

func (s *shop) signOut(w http.ResponseWriter, r *http.Request) {
	err := s.pawl.With(client.WithBearer(tokenOf(r))).Logout(r.Context())
	if err != nil && !errors.Is(err, client.ErrInvalidSession) { // a session that has ended already is fine
		unavailable(w, err)
		return
	}
	setCookie(w, r, sessionCookie, "", 0)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func unavailable(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "The shop cannot reach its sessions; try again.", http.StatusServiceUnavailable)
}
