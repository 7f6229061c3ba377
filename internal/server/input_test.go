package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/pawltest"
)

// TestBadInput checks the status and the message for each kind of bad input to a refresh.
func TestBadInput(t *testing.T) {
	b := start(t)
	token := b.login()
	oneDot, algNone := strings.Replace(token, ".", "", 1), "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.e30."
	plainText, gzip := "Content-Type: text/plain", "Content-Encoding: gzip"
	for name, c := range map[string]struct {
		body, header string
		status       int
		message      string
	}{
		"no body":             {status: 400, message: "token is missing"},
		"half a body":         {body: `{"token":"a`, status: 400, message: "not JSON"},
		"an array":            {body: `["a"]`, status: 400, message: "one JSON object"},
		"null":                {body: `null`, status: 400, message: "token is missing"},
		"only a BOM":          {body: "\ufeff", status: 400, message: "one JSON object"},
		"two BOMs":            {body: "\ufeff\ufeff{}", status: 400, message: "one JSON object"},
		"two objects":         {body: `{"token":"a"}{}`, status: 400, message: "not JSON"},
		"only spaces":         {body: `  `, status: 400, message: "one JSON object"},
		"a number as token":   {body: `{"token":1}`, status: 400, message: "token must be a string"},
		"null as token":       {body: `{"token":null}`, status: 400, message: "token is missing"},
		"17 KiB":              {body: tokenBody(strings.Repeat("a", 17<<10)), status: 413, message: "16 KiB"},
		"deep nesting":        {body: `{"x":` + strings.Repeat("[", 15000), status: 400, message: "not JSON"},
		"invalid UTF-8":       {body: "{\"token\":\"\xff\"}", status: 400, message: "fix token, at byte 10"},
		"half a surrogate":    {body: `{"refreshToken":"\ud800"}`, status: 400, message: "fix refreshToken, at byte"},
		"a raw NUL":           {body: "{\"token\":\"\x00\"}", status: 400, message: "token"},
		"an escaped NUL":      {body: `{"token":"\u0000"}`, status: 400, message: "token"},
		"token twice":         {body: `{"token":"a","token":"b"}`, status: 400, message: "token occurs twice"},
		"token in two cases":  {body: `{"token":"a","TOKEN":"b"}`, status: 400, message: "occurs twice"},
		"plain text":          {body: `{"token":"a"}`, header: plainText, status: 415, message: "Content-Type"},
		"gzip":                {body: "\x1f\x8b", header: gzip, status: 415, message: "without Content-Encoding"},
		"gzip only by name":   {body: tokenBody(token), header: gzip, status: 415, message: "without Content-Encoding"},
		"no dots":             {body: `{"token":"abc"}`, status: 400, message: "is not a JWT"},
		"one dot":             {body: tokenBody(oneDot), status: 400, message: "is not a JWT"},
		"alg none":            {body: tokenBody(algNone), status: 401, message: "sign in"},
		"a forged signature":  {body: tokenBody(token[:len(token)-4] + "AAAA"), status: 401, message: "sign in"},
		"a malformed API key": {body: tokenBody(token), header: apiKey("pawl_x"), status: 401, message: "API key"},
		"an empty API key":    {body: tokenBody(token), header: apiKey(""), status: 401, message: "X-API-Key"},
	} {
		t.Run(name, func(t *testing.T) {
			var headers []string
			if c.header != "" {
				headers = []string{c.header}
			}
			resp, text := b.send("POST", "/v2/auth/refresh", c.body, headers...)
			if resp.StatusCode != c.status || !strings.Contains(text, c.message) {
				t.Errorf("%d %s, want %d and %q", resp.StatusCode, text, c.status, c.message)
			}
		})
	}
	resp, _ := b.send("POST", "/v2/auth/refresh", "x", gzip)
	if got := resp.Header.Get("Accept-Encoding"); got != "identity" {
		t.Errorf("the Accept-Encoding of a 415 for gzip is %q, want identity", got)
	}
	b.session(200, token) // not superseded
}

// TestBodyForms sends each form of a body that some client libraries send.
func TestBodyForms(t *testing.T) {
	b := &browser{t, pawltest.New(t)} // without the OpenAPI check, because OpenAPI cannot describe such bodies
	user := bearer(b.login())
	for name, c := range map[string]struct{ body, header string }{
		"charset utf-8":          {`{"pageNo":1}`, "Content-Type: application/json; charset=utf-8"},
		"another charset":        {`{"pageNo":1}`, "Content-Type: application/json; charset=latin1"},
		"charset in quotes":      {`{"pageNo":1}`, `Content-Type: application/json;charset="UTF-8"`},
		"a damaged parameter":    {`{"pageNo":1}`, "Content-Type: application/json; charset"},
		"a semicolon":            {`{"pageNo":1}`, "Content-Type: Application/JSON ;"},
		"a byte order mark":      {"\ufeff{\"pageNo\":1}", "Accept: */*"},
		"white space around":     {" \r\n{\"pageNo\":1}\t\n", "Accept: */*"},
		"identity":               {`{"pageNo":1}`, "Content-Encoding: identity"},
		"null":                   {"null", "Accept: */*"},
		"null after a BOM":       {"\ufeff null\n", "Accept: */*"},
		"an empty object":        {"{}", "Accept: */*"},
		"nothing":                {"", "Content-Type: application/json"},
		"nothing without a type": {"", "Accept: */*"},
	} {
		t.Run(name, func(t *testing.T) {
			if resp, text := b.send("POST", "/v2/users/list", c.body, c.header, user); resp.StatusCode != 200 {
				t.Errorf("%d %s", resp.StatusCode, text)
			}
		})
	}
}

// TestCaseInsensitiveNames checks that the names of a body match without regard to case, but not without _ and -.
func TestCaseInsensitiveNames(t *testing.T) {
	b := &browser{t, pawltest.New(t)} // without the OpenAPI check, because OpenAPI cannot describe such names
	login := fmt.Sprintf(`{"EMAIL":%q,"PassWord":%q,"unknown":[1]}`, strings.ToUpper(pawltest.Login), pawltest.Password)
	token := b.expect(200, "", "POST", "/v2/auth/login", login)
	for _, name := range []string{"to_ken", "to-ken", "token_"} {
		b.expect(400, api.CodeInvalidParameter, "POST", "/v2/auth/refresh", fmt.Sprintf(`{%q:%q}`, name, token))
	}
	b.expect(200, "", "POST", "/v2/auth/refresh", fmt.Sprintf(`{"Token":%q}`, token))
}

// TestCrossOriginRequests checks that the requests of another site's page without a preflight do not count as attempts
// to sign in.
func TestCrossOriginRequests(t *testing.T) {
	b := start(t)
	const formData, elsewhere = "multipart/form-data; boundary=x", "https://elsewhere.example"
	body := credentials(pawltest.Login, "wrong")
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", formData} {
		for _, site := range []string{elsewhere, "null"} {
			resp, text := b.send("POST", "/v2/auth/login", body, "Content-Type: "+media, "Origin: "+site)
			if resp.StatusCode != 415 || resp.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%q from %s: %d %s", media, site, resp.StatusCode, text)
			}
		}
	}
	resp, _ := b.send("OPTIONS", "/v2/auth/login", "", "Origin: "+elsewhere,
		"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type")
	if resp.StatusCode == 200 || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a preflight: %d %v", resp.StatusCode, resp.Header)
	}
	if events := b.audit("kind=loginFailed", b.admin()); len(events) != 0 {
		t.Errorf("%d failed attempts were counted", len(events))
	}
	// A client other than a browser sends no Origin.
	b.expect(401, api.CodeInvalidCredentials, "POST", "/v2/auth/login", body, "Content-Type: ")
}
