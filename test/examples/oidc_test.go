//go:build unix

package examples_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
	"github.com/pawlauth/pawl/internal/test/testbin"
)

const oidcFolder = root + "/examples/go/oidc-login"

// oidcShop is the running example: a shop, its provider, and Pawl.
type oidcShop struct {
	*testing.T
	url, provider string // with http://
	blocks        []string
	replace       *strings.Replacer // of the addresses and the data folder in the README
	pawl          *client.Client    // as an administrator
}

// startOIDC starts the example. The test is skipped if its modules cannot be downloaded.
func startOIDC(t *testing.T, flags ...string) *oidcShop {
	t.Helper()
	need(t, "bash", "curl", "jq")
	testbin.InModule(t, oidcFolder, "vet", "./...")
	provider := testbin.FreeAddr(t)
	text, err := os.ReadFile(filepath.Join(oidcFolder, "trusted-issuers.json"))
	if err != nil {
		t.Fatal(err)
	}
	data, issuers := t.TempDir(), filepath.Join(t.TempDir(), "issuers.json")
	text = []byte(strings.ReplaceAll(string(text), "127.0.0.1:9998", provider))
	if err := os.WriteFile(issuers, text, 0o600); err != nil {
		t.Fatal(err)
	}
	flags = append([]string{"--trusted-issuers", issuers}, flags...)
	dev := testbin.StartDev(t, testbin.Build(t), data, flags...)
	blocks := codeBlocks(t, filepath.Join(oidcFolder, "README.md"))
	t.Setenv("PROVIDER_ADDR", provider)
	shop, _ := startAPI(t, strings.ReplaceAll(blocks[0], "./pawl-dev", data), dev.Env["PAWL_URL"])
	return &oidcShop{
		T: t, url: "http://" + shop, provider: "http://" + provider, blocks: blocks[1:],
		replace: strings.NewReplacer("127.0.0.1:9000", shop, "127.0.0.1:9998", provider, "./pawl-dev", data),
		pawl:    testbin.Client(t, dev.Env["PAWL_URL"], client.WithAPIKey(dev.Env["PAWL_ADMIN_API_KEY"])),
	}
}

// TestOIDCReadme runs the commands of the README.
func TestOIDCReadme(t *testing.T) {
	s := startOIDC(t, "--token-life", "10m") // so short that each page refreshes the token
	runBlocks(t, s.replace, s.blocks)
}

// oidcBrowser is a browser without scripts.
type oidcBrowser struct {
	*oidcShop
	http *http.Client
	last *http.Response // of which the body is read
}

func (s *oidcShop) browser() *oidcBrowser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.Fatal(err)
	}
	return &oidcBrowser{oidcShop: s, http: &http.Client{Jar: jar, Timeout: startLimit}}
}

// get returns the page of an address, after redirects.
func (b *oidcBrowser) get(address string) string {
	b.Helper()
	response, err := b.http.Get(address)
	return b.page(response, err)
}

func (b *oidcBrowser) post(address string, form url.Values) string {
	b.Helper()
	response, err := b.http.PostForm(address, form)
	return b.page(response, err)
}

func (b *oidcBrowser) page(response *http.Response, err error) string {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		b.Fatal(err)
	}
	b.last = response
	return string(text)
}

var authRequest = regexp.MustCompile(`name="id" value="([^"]+)"`)

// signIn signs in at the provider, and returns the last page.
func (b *oidcBrowser) signIn(query, password string) string {
	b.Helper()
	found := authRequest.FindStringSubmatch(b.get(b.url + "/sign-in" + query))
	if found == nil {
		b.Fatal("the shop does not lead to the form of the provider")
	}
	form := url.Values{"id": {found[1]}, "username": {"ada"}, "password": {password}}
	return b.post(b.provider+"/login/username", form)
}

func (b *oidcBrowser) wantPage(what, page, text string) {
	b.Helper()
	if !strings.Contains(page, text) {
		b.Errorf("%s: %s\nwant %q", what, page, text)
	}
}

// sessions returns the sessions of Ada.
func (s *oidcShop) sessions() []api.Session {
	s.Helper()
	users, err := s.pawl.UsersByExternalID(s.Context(), "idp:id-17")
	if err != nil {
		s.Fatal(err)
	}
	if len(users) == 0 {
		return nil
	}
	list, err := s.pawl.Sessions(s.Context(), api.SessionsRequest{UserID: &users[0].UserID})
	if err != nil {
		s.Fatal(err)
	}
	return list
}

// stealCode signs Ada in, but keeps the code of the provider from the shop. It returns a callback with that code for a
// sign-in that the thief has begun.
func (s *oidcShop) stealCode(thief *oidcBrowser) string {
	s.Helper()
	var callback, state url.Values
	ada := s.browser()
	ada.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/callback" {
			callback = r.URL.Query()
			return http.ErrUseLastResponse
		}
		return nil
	}
	ada.signIn("", "correct horse")
	thief.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Query().Has("state") {
			state = r.URL.Query()
		}
		return nil
	}
	thief.get(s.url + "/sign-in")
	forged := url.Values{"code": callback["code"], "state": state["state"]}
	if len(forged["code"]) != 1 || len(forged["state"]) != 1 {
		s.Fatalf("the callback would have %v", forged)
	}
	return s.url + "/callback?" + forged.Encode()
}

// TestOIDCLogin signs in at a real provider in both ways, and checks that both open a session of the same user, that
// each page refreshes the token, and that a sign-out ends the session in Pawl. A forged or repeated callback, or
// a stolen code, opens nothing.
func TestOIDCLogin(t *testing.T) {
	s := startOIDC(t, "--token-life", "10m")
	stranger := s.browser()
	stranger.wantPage("a wrong password", stranger.signIn("", "wrong horse"), "password wrong")
	stranger.wantPage("a forged callback", stranger.get(s.url+"/callback?code=x&state=y"), "not begun in this browser")
	stranger.wantPage("no session", stranger.get(s.url), "Please sign in")
	if stranger.last.StatusCode != http.StatusUnauthorized || len(s.sessions()) != 0 {
		t.Errorf("status %d, sessions %v", stranger.last.StatusCode, s.sessions())
	}

	ada := s.browser()
	var callback string
	ada.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == "/callback" && callback == "" {
			callback = r.URL.String()
		}
		return nil
	}
	ada.wantPage("a sign-in", ada.signIn("", "correct horse"), "Hello Ada")
	stranger.wantPage("a callback of another browser", stranger.get(callback), "not begun in this browser")
	ada.wantPage("a repeated callback", ada.get(callback), "not begun in this browser")
	ada.wantPage("after it", ada.get(s.url), "Hello Ada")
	stranger.wantPage("a stolen code", stranger.get(s.stealCode(stranger)), "did not sign you in")
	list := s.sessions()
	if len(list) != 1 || list[0].IP != "127.0.0.1" || list[0].Device != "browser" || list[0].Refreshes < 2 {
		t.Errorf("the sessions are %+v, want one with the device and with a refresh for each page", list)
	}

	other := s.browser()
	other.wantPage("a sign-in by ID token", other.signIn("?open=id-token", "correct horse"), "Hello Ada")
	if list := s.sessions(); len(list) != 2 {
		t.Errorf("the sessions are %+v, want two", list)
	}
	other.wantPage("a sign-out", other.post(s.url+"/sign-out", nil), "Please sign in")
	ada.wantPage("the other browser", ada.get(s.url), "Hello Ada")
	if err := s.pawl.ResetUser(t.Context(), list[0].UserID); err != nil {
		t.Fatal(err)
	}
	ada.wantPage("after a reset", ada.get(s.url), "Please sign in")
	if n := len(s.sessions()); n != 0 {
		t.Errorf("%d sessions remain", n)
	}
}
