// Own-login is a shop with users and a sign-in page of its own. Pawl keeps the sessions.
package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"html/template"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
)

func main() {
	pawl, err := client.New(cmp.Or(os.Getenv("PAWL_URL"), "http://127.0.0.1:8080"))
	if err != nil {
		log.Fatal(err)
	}
	s := &shop{
		users: newUsers(),
		pawl:  pawl,
		// The API key opens sessions and does nothing else, so no other call sends it.
		opener: pawl.With(client.WithAPIKey(os.Getenv("OPEN_SESSIONS_KEY"))),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /sign-in", s.signIn)
	mux.HandleFunc("POST /sign-out", s.signOut)
	server := http.Server{
		Addr:              cmp.Or(os.Getenv("API_ADDR"), "127.0.0.1:9000"),
		Handler:           http.NewCrossOriginProtection().Handler(mux), // no other site may send the forms
		ReadHeaderTimeout: 10 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}

type shop struct {
	users        users
	pawl, opener *client.Client
}

var page = template.Must(template.New("").Parse(`<!doctype html><title>Shop</title>
{{if .Login}}<p>Hello {{.Login}}</p><form method="post" action="/sign-out"><button>Sign out</button></form>
{{else}}<p>{{.Problem}}</p><form method="post" action="/sign-in">
<input name="name" placeholder="Name" autocomplete="username">
<input name="password" type="password" placeholder="Password" autocomplete="current-password">
<button>Sign in</button></form>{{end}}
`))

type pageData struct{ Login, Problem string }

func show(w http.ResponseWriter, status int, data pageData) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = page.Execute(w, data) // fails only if the browser has disconnected
}

func (s *shop) home(w http.ResponseWriter, r *http.Request) {
	caller, err := s.session(w, r)
	switch {
	case errors.Is(err, client.ErrInvalidSession):
		show(w, http.StatusUnauthorized, pageData{Problem: "Please sign in."})
	case err != nil:
		unavailable(w, err)
	default:
		show(w, http.StatusOK, pageData{Login: caller.Login})
	}
}

// signIn checks a password against the shop's own users, and opens a session of Pawl. The first sign-in of a user
// creates the user in Pawl.
func (s *shop) signIn(w http.ResponseWriter, r *http.Request) {
	user, ok := s.users.check(r.PostFormValue("name"), r.PostFormValue("password"))
	if !ok {
		show(w, http.StatusUnauthorized, pageData{Problem: "The name or the password is wrong."})
		return
	}
	claims, err := json.Marshal(map[string]string{"plan": user.plan}) // for APIs that get the token
	if err != nil {
		unavailable(w, err)
		return
	}
	ip, _, _ := net.SplitHostPort(r.RemoteAddr) // behind a proxy, take it from the header that the proxy sets
	token, err := s.opener.OpenSession(r.Context(), api.OpenSessionRequest{
		ExternalID: user.id, User: &api.CreateUserRequest{Login: user.email},
		Device: "browser", IP: ip, UserAgent: r.UserAgent(), Claims: claims,
	})
	if err != nil {
		unavailable(w, err)
		return
	}
	setToken(w, r, token.Token)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *shop) signOut(w http.ResponseWriter, r *http.Request) {
	err := s.pawl.With(client.WithBearer(tokenOf(r))).Logout(r.Context())
	if err != nil && !errors.Is(err, client.ErrInvalidSession) { // a session that has ended already is fine
		unavailable(w, err)
		return
	}
	setToken(w, r, "")
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// refreshBefore is how long before the end of a token the shop exchanges it for the next one.
const refreshBefore = 15 * time.Minute

// session returns the caller of a request, and refreshes the token in its cookie. The error is ErrInvalidSession for a
// browser that has to sign in.
func (s *shop) session(w http.ResponseWriter, r *http.Request) (api.SessionInfo, error) {
	token := tokenOf(r)
	if token == "" {
		return api.SessionInfo{}, client.ErrInvalidSession
	}
	caller, err := s.pawl.With(client.WithBearer(token)).Session(r.Context())
	ended := errors.Is(err, client.ErrInvalidSession)
	if err != nil && !ended || err == nil && time.Until(caller.ExpiresAt.Time) > refreshBefore {
		return caller, err
	}
	// The token ends soon, has expired, or is superseded because another tab was faster. Two tabs that refresh at the
	// same time send the same key, and get the same successor.
	key := sha256.Sum256([]byte("refresh " + token))
	next, err := s.pawl.RefreshWithIdempotencyKey(r.Context(), token, hex.EncodeToString(key[:]))
	if err != nil {
		return api.SessionInfo{}, err
	}
	setToken(w, r, next.Token)
	return s.pawl.With(client.WithBearer(next.Token)).Session(r.Context())
}

const cookieName = "session"

func tokenOf(r *http.Request) string {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// setToken sets the cookie, or removes it if the token is empty. Scripts cannot read the cookie.
func setToken(w http.ResponseWriter, r *http.Request, token string) {
	cookie := http.Cookie{
		Name: cookieName, Value: token, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: r.TLS != nil, // behind a proxy with TLS: true
	}
	if token == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(w, &cookie)
}

func unavailable(w http.ResponseWriter, err error) {
	log.Print(err)
	http.Error(w, "The shop cannot reach its sessions; try again.", http.StatusServiceUnavailable)
}
