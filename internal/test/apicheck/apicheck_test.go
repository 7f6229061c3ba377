package apicheck

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pb33f/go-yaml"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	"github.com/pb33f/libopenapi/datamodel/high/base"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

const (
	token = `eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhIjoxfQ.c2ln`
	good  = `{"success":true,"data":{"token":"` + token + `","expiresAt":"2026-05-07T20:00:00Z","userId":4821},` +
		`"errorCode":"","message":""}`
	bad  = `{"success":false,"data":null,"errorCode":"InvalidSession","message":"Sign in again."}`
	sent = `{"token":"` + token + `"}`

	version = `{"success":true,"data":{"version":"2.6","build":""},"errorCode":"","message":""}`
)

// exchange is a request with its response, and a part of the fault that check finds, or "".
type exchange struct {
	method, path, sent string
	status             int
	answer, headers    string
	fault              string
}

const (
	plain     = "Content-Type: application/json; charset=utf-8\nX-Request-Id: a"
	secret    = plain + "\nCache-Control: no-store"
	challenge = plain + "\nWWW-Authenticate: Bearer realm=\"pawl\""
	busy      = plain + "\nRetry-After: 1"
)

// refresh returns a refresh whose check finds this fault.
func refresh(sent string, status int, answer, headers, fault string) exchange {
	return exchange{
		method: "POST", path: "/v2/auth/refresh", sent: sent,
		status: status, answer: answer, headers: headers, fault: fault,
	}
}

// request returns the request of an exchange. It has an API key, which a client may send with calls that need none.
func (x exchange) request() *http.Request {
	r := httptest.NewRequest(x.method, x.path, nil)
	r.Header.Set("X-API-Key", "pawl_x")
	return r
}

// changed returns a successful change of a password whose check finds this fault.
func changed(sent, fault string) exchange {
	const answer = `{"success":true,"data":null,"errorCode":"","message":"Password updated successfully."}`
	return exchange{
		method: "PUT", path: "/v2/auth/password", sent: sent,
		status: 200, answer: answer, headers: plain, fault: fault,
	}
}

// get returns a GET request without a body whose check finds this fault.
func get(path string, status int, answer, headers, fault string) exchange {
	return exchange{method: "GET", path: path, status: status, answer: answer, headers: headers, fault: fault}
}

// replace returns a text with its first old replaced. It panics if the text has no old.
func replace(text, old, new string) string {
	if !strings.Contains(text, old) {
		panic(text + " lacks " + old)
	}
	return strings.Replace(text, old, new, 1)
}

// TestCheckFindsFaults checks that check finds each kind of fault. Without this test, a check that finds nothing would
// pass unnoticed.
func TestCheckFindsFaults(t *testing.T) {
	c := open(t)
	notFound := replace(bad, "InvalidSession", "ObjectNotFound")
	unavailable := replace(bad, "InvalidSession", "Unavailable")
	noRetry := replace(busy, "Retry-After", "X")
	noLevel := "X-Request-Id: a\nCache-Control: no-store\nX-Auth-Login: a"
	coded := replace(good, `errorCode":""`, `errorCode":"x"`)
	html := replace(secret, "application/json", "text/html")
	noRealm := replace(challenge, "WWW-Authenticate", "X")
	noID := replace(challenge, "X-Request-Id: a", "A: b")
	put := refresh(sent, 200, good, secret, "does not have this call")
	put.method = "PUT"
	for name, test := range map[string]exchange{
		"valid":                 refresh(sent, 200, good, secret, ""),
		"rejected":              refresh(sent, 401, bad, challenge, ""),
		"rejected, bad request": refresh(`[]`, 401, bad, challenge, ""),
		"no such path":          get("/v2/nothing", 404, notFound, plain, ""),
		"no such method":        get("/v2/auth/refresh", 405, notFound, plain, ""),
		"new path":              get("/v2/nothing", 200, good, secret, "does not have this call"),
		"new method":            put,
		"unclean path":          get("/v2//auth/version", 200, good, secret, "does not have this call"),
		"new status":            refresh(sent, 418, bad, plain, "418"),
		"extra field":           refresh(sent, 200, replace(good, `"userId"`, `"x":1,"userId"`), secret, "x"),
		"missing field":         refresh(sent, 200, replace(good, `,"userId":4821`, ``), secret, "userId"),
		"null field":            refresh(sent, 200, replace(good, `4821`, `null`), secret, "got null"),
		"time with a zone":      refresh(sent, 200, replace(good, `00Z`, `00+01:00`), secret, "pattern"),
		"code on success":       refresh(sent, 200, coded, secret, "errorCode"),
		"another status' code":  refresh(sent, 503, bad, busy, "errorCode"),
		"data on an error":      refresh(sent, 401, replace(bad, "null", "true"), challenge, "data"),
		"another type":          refresh(sent, 200, good, html, "text/html"),
		"no request id":         refresh(sent, 401, bad, noID, "X-Request-Id"),
		"cacheable":             refresh(sent, 200, good, replace(secret, "no-store", "public"), "no-store"),
		"no challenge":          refresh(sent, 401, bad, noRealm, "WWW-Authenticate"),
		"no Retry-After":        refresh(sent, 503, unavailable, noRetry, "Retry-After"),
		"extra header":          refresh(sent, 200, good, secret+"\nX-Secret: a", "X-Secret"),
		"health":                get("/healthz", 200, `{"status":"ok"}`, secret, ""),
		"version with API key":  get("/v2/auth/version", 200, version, plain, ""),
		"unknown health":        get("/readyz", 200, `{"status":"fine"}`, secret, "status"),
		"gateway without level": get("/forward-auth", 200, ``, noLevel, "X-Auth-Level"),
		"request without field": changed(`{"newPassword":"N3w$ecret!"}`, "the request"),
		"request without body":  changed(``, "the request"),
		"request of wrong type": refresh(`{"token":1}`, 200, good, secret, "the request"),
		"request with fields":   changed(`{"currentPassword":"a","newPassword":"N3w$ecret!"}`, ""),
		"request with one more": refresh(replace(sent, "{", `{"x":1,`), 200, good, secret, "the request"),
	} {
		t.Run(name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			for line := range strings.Lines(test.headers) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				recorder.Header().Set(key, value)
			}
			recorder.WriteHeader(test.status)
			_, _ = recorder.WriteString(test.answer)
			fault := c.check(test.request(), []byte(test.sent), recorder)
			if (fault == "") != (test.fault == "") || !strings.Contains(fault, test.fault) {
				t.Errorf("check = %q, want %q", fault, test.fault)
			}
		})
	}
}

// TestExamples validates each example in openapi.yaml against its schema.
func TestExamples(t *testing.T) {
	model := Model(t)
	seen := 0
	check := func(where string, media *v3.MediaType) {
		examples := []*yaml.Node{media.Example}
		if media.Example == nil {
			examples = nil
			for _, e := range media.Examples.FromOldest() {
				examples = append(examples, e.Value)
			}
		}
		if len(examples) == 0 {
			t.Errorf("%s has no example", where)
		}
		for _, node := range examples {
			seen++
			checkExample(t, where, media.Schema.Schema(), node)
		}
	}
	for path, item := range model.Paths.PathItems.FromOldest() {
		for method, operation := range item.GetOperations().FromOldest() {
			if operation.RequestBody != nil {
				for media := range operation.RequestBody.Content.ValuesFromOldest() {
					check(method+" "+path, media)
				}
			}
			for status, response := range operation.Responses.Codes.FromOldest() {
				empty := operation.OperationId == "revoke" || operation.OperationId == "forwardAuth"
				if response.Content == nil && !empty {
					t.Errorf("%s %s %s has no content", method, path, status)
				}
				for media := range response.Content.ValuesFromOldest() {
					check(method+" "+path+" "+status, media)
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("found only %d examples", seen)
	}
}

func checkExample(t *testing.T, where string, schema *base.Schema, node *yaml.Node) {
	var value any
	if err := node.Decode(&value); err != nil {
		t.Fatal(err)
	}
	if ok, errs := schema_validation.NewSchemaValidator().ValidateSchemaObject(schema, value); !ok {
		t.Errorf("%s: %s", where, explain(errs))
	}
}
