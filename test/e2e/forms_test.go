//go:build unix

package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/test/testbin"
)

// form is one of the vendor's published forms of the exchange. In a body, LOGIN, PASSWORD, KEY and TOKEN stand for the
// values of the test.
type form struct {
	login, refresh  string // the bodies; refresh is empty if the form has none
	headers         string // of all requests, in lines
	data            string // the names in the data of a login, in order
	dataOfRefreshes string // and of a refresh
}

// The names in the data of the forms.
const (
	alone = "token expiresAt userId"
	pair  = "token expiresAt userId refreshToken"
	keyed = "token expiresAt userId sessionKey"
)

var forms = map[string]form{
	"A, the seed page": {
		login: `{ "login": "LOGIN", "password": "PASSWORD" }`, refresh: `{ "token": "TOKEN" }`,
		headers: "X-API-Key: KEY\nContent-Type: application/json", data: alone, dataOfRefreshes: alone,
	},
	"A, from .NET": {
		login: `{"login":"LOGIN","password":"PASSWORD"}`, refresh: `{"token":"TOKEN"}`,
		headers: "Content-Type: application/json; charset=utf-8", data: alone, dataOfRefreshes: alone,
	},
	"A, names in another case": {
		login: `{"LoginName":"LOGIN","PassWord":"PASSWORD"}`, refresh: `{"Token":"TOKEN"}`,
		headers: "Content-Type: application/json", data: alone, dataOfRefreshes: alone,
	},
	"A, more fields": {
		login:   `{"login":"LOGIN","email":"x@example.com","password":"PASSWORD","remember":true,"x":{"token":1}}`,
		refresh: `{"token":"TOKEN","userId":1,"refreshToken":null}`,
		headers: "Content-Type: application/json", data: alone, dataOfRefreshes: alone,
	},
	"A, loginName": {
		login: `{"loginName":"LOGIN","password":"PASSWORD"}`, refresh: `{"token":"TOKEN"}`,
		headers: "Content-Type: application/json", data: alone, dataOfRefreshes: alone,
	},
	"B": {
		login:   "{\n  \"email\": \"LOGIN\",\n  \"password\": \"PASSWORD\"\n}",
		refresh: "{\n  \"refreshToken\": \"TOKEN\"\n}",
		headers: "Content-Type: application/json", data: pair, dataOfRefreshes: pair,
	},
	"B, both tokens": {
		login: `{"Email":"LOGIN","Password":"PASSWORD"}`, refresh: `{"token":"TOKEN","refreshToken":"TOKEN"}`,
		headers: "Content-Type: application/json", data: pair, dataOfRefreshes: pair,
	},
	"C": {
		login: `{"username":"LOGIN","password":"PASSWORD"}`, refresh: `{"refreshToken":"TOKEN"}`,
		headers: "Content-Type: application/json", data: pair, dataOfRefreshes: pair,
	},
	"D": {
		login: `{ "apiKey": "KEY" }`, headers: "Content-Type: application/json", data: keyed,
	},
	"D, names in another case": {
		login: `{"ApiKey":"KEY","Login":null}`, headers: "X-API-Key: KEY\nContent-Type: application/json", data: keyed,
	},
	"B, refreshed as A": {
		login: `{"email":"LOGIN","password":"PASSWORD"}`, refresh: `{"token":"TOKEN"}`,
		headers: "Content-Type: application/json", data: pair, dataOfRefreshes: alone,
	},
}

// TestVendorClients sends what the vendor's clients send to the real server.
func TestVendorClients(t *testing.T) {
	dev := testbin.StartDev(t, testbin.Build(t), t.TempDir())
	v := vendorClient{url: dev.Env["PAWL_URL"], values: strings.NewReplacer("LOGIN", dev.Env["PAWL_LOGIN"],
		"PASSWORD", dev.Env["PAWL_PASSWORD"], "KEY", dev.Env["ECGRID_API_KEY"])}
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			v.exchange(t, f, func(path string) string { return path })
			v.exchange(t, f, func(path string) string { return strings.Replace(path, "/auth/", "/Auth/", 1) + "/" })
		})
	}
	t.Run("logout by API key", func(t *testing.T) {
		token := login(t, dev)
		for range 2 { // the key is still valid the second time
			if status, answer := v.post(t, "/v2/auth/logout", "", "X-API-Key: KEY"); status != http.StatusOK {
				t.Errorf("logout: %d %s", status, answer)
			}
		}
		v.session(t, token, http.StatusOK)
	})
	t.Run("pages", func(t *testing.T) {
		for path, want := range map[string]string{
			"/swagger/index.html":      "/docs",
			"/Swagger/Index.html/":     "/docs",
			"/swagger/v2/swagger.json": "/openapi.json",
		} {
			resp, err := http.Get(v.url + path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != want {
				t.Errorf("%s leads to %s with status %d, want %s", path, resp.Request.URL.Path, resp.StatusCode, want)
			}
		}
	})
}

// exchange signs in, refreshes and signs out in one form, with each path changed by spell. Each response must have
// exactly the fields of the form, and each token must work until the next one replaces it.
func (v vendorClient) exchange(t *testing.T, f form, spell func(path string) string) {
	t.Helper()
	token := v.issued(t, spell("/v2/auth/login"), f.login, f.headers, f.data)
	v.session(t, token, http.StatusOK)
	if f.refresh != "" {
		body := strings.ReplaceAll(f.refresh, "TOKEN", token)
		next := v.issued(t, spell("/v2/auth/refresh"), body, f.headers, f.dataOfRefreshes)
		v.session(t, token, http.StatusUnauthorized)
		token = next
	}
	v.session(t, token, http.StatusOK)
	status, answer := v.post(t, spell("/v2/auth/logout"), "", "Authorization: Bearer "+token)
	want := `{"success":true,"data":null,"errorCode":"","message":"Session terminated."}`
	if status != http.StatusOK || answer != want {
		t.Errorf("logout: %d %s", status, answer)
	}
	v.session(t, token, http.StatusUnauthorized)
}

// vendorClient sends requests as the vendor publishes them.
type vendorClient struct {
	url    string
	values *strings.Replacer
}

// post sends a body, and returns the status and the body of the response.
func (v vendorClient) post(t *testing.T, path, body, headers string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "POST", v.url+path, strings.NewReader(v.values.Replace(body)))
	if err != nil {
		t.Fatal(err)
	}
	for header := range strings.Lines(v.values.Replace(headers)) {
		name, value, _ := strings.Cut(strings.TrimSpace(header), ": ")
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(text))
}

// issued sends a login or a refresh. It checks that the response has exactly these names in its data, and returns the
// token.
func (v vendorClient) issued(t *testing.T, path, body, headers, names string) string {
	t.Helper()
	status, text := v.post(t, path, body, headers)
	var envelope struct {
		Data map[string]any
	}
	if err := json.Unmarshal([]byte(text), &envelope); err != nil || status != http.StatusOK {
		t.Fatalf("%s %s: %d %s %v", path, body, status, text, err)
	}
	token, _ := envelope.Data["token"].(string)
	var want bytes.Buffer
	for name := range strings.SplitSeq(names, " ") {
		value := token
		if name == "expiresAt" {
			value, _ = envelope.Data[name].(string)
		}
		if name == "userId" {
			fmt.Fprintf(&want, `,%q:4821`, name)
		} else {
			fmt.Fprintf(&want, `,%q:%q`, name, value)
		}
	}
	whole := `{"success":true,"data":{` + want.String()[1:] + `},"errorCode":"","message":""}`
	if text != whole {
		t.Errorf("%s %s is answered\n%s\nwant\n%s", path, body, text, whole)
	}
	return token
}

// session checks the status of a session call.
func (v vendorClient) session(t *testing.T, token string, want int) {
	t.Helper()
	if status, text := v.post(t, "/v2/auth/session", "", "Authorization: Bearer "+token); status != want {
		t.Errorf("session: %d %s, want %d", status, text, want)
	}
}
