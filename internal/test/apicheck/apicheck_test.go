package apicheck

import (
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
	good  = `{"success":true,"data":{"token":"` + token + `","expiresAt":"2026-05-07T20:00:00Z","userId":4821},"errorCode":"","message":""}`
	bad   = `{"success":false,"data":null,"errorCode":"InvalidSession","message":"Sign in again."}`
	sent  = `{"token":"` + token + `"}`
)

// TestCheckFindsFaults: a check that finds nothing would let all else pass.
func TestCheckFindsFaults(t *testing.T) {
	c := open(t)
	const (
		plain   = "Content-Type: application/json; charset=utf-8\nX-Request-Id: a"
		secret  = plain + "\nCache-Control: no-store"
		refused = plain + "\nWWW-Authenticate: Bearer realm=\"pawl\""
		busy    = plain + "\nRetry-After: 1"
	)
	for name, test := range map[string]struct {
		method, path, sent string
		status             int
		answer, headers    string
		fault              string // what is said, in part; empty for none
	}{
		"good":                 {"POST", "/v2/auth/refresh", sent, 200, good, secret, ""},
		"refused":              {"POST", "/v2/auth/refresh", sent, 401, bad, refused, ""},
		"refused, no request":  {"POST", "/v2/auth/refresh", `[]`, 401, bad, refused, ""},
		"no such path":         {"GET", "/v2/nothing", ``, 404, strings.Replace(bad, "InvalidSession", "ObjectNotFound", 1), plain, ""},
		"no such method":       {"GET", "/v2/auth/refresh", ``, 405, strings.Replace(bad, "InvalidSession", "ObjectNotFound", 1), plain, ""},
		"a new path":           {"GET", "/v2/nothing", ``, 200, good, secret, "does not have this call"},
		"a new method":         {"PUT", "/v2/auth/refresh", sent, 200, good, secret, "does not have this call"},
		"an unclean path":      {"GET", "/v2//auth/version", ``, 200, good, secret, "does not have this call"},
		"a new status":         {"POST", "/v2/auth/refresh", sent, 418, bad, plain, "418"},
		"a field too many":     {"POST", "/v2/auth/refresh", sent, 200, strings.Replace(good, `"userId"`, `"x":1,"userId"`, 1), secret, "x"},
		"a field too few":      {"POST", "/v2/auth/refresh", sent, 200, strings.Replace(good, `,"userId":4821`, ``, 1), secret, "userId"},
		"a field of null":      {"POST", "/v2/auth/refresh", sent, 200, strings.Replace(good, `4821`, `null`, 1), secret, "got null"},
		"a time with a zone":   {"POST", "/v2/auth/refresh", sent, 200, strings.Replace(good, `00Z`, `00+01:00`, 1), secret, "pattern"},
		"a code on success":    {"POST", "/v2/auth/refresh", sent, 200, strings.Replace(good, `"errorCode":""`, `"errorCode":"x"`, 1), secret, "errorCode"},
		"another status' code": {"POST", "/v2/auth/refresh", sent, 503, bad, busy, "errorCode"},
		"data on an error":     {"POST", "/v2/auth/refresh", sent, 401, strings.Replace(bad, "null", "true", 1), refused, "data"},
		"another type":         {"POST", "/v2/auth/refresh", sent, 200, good, strings.Replace(secret, "application/json", "text/html", 1), "text/html"},
		"no request id":        {"POST", "/v2/auth/refresh", sent, 401, bad, strings.Replace(refused, "X-Request-Id: a", "A: b", 1), "X-Request-Id"},
		"stored":               {"POST", "/v2/auth/refresh", sent, 200, good, strings.Replace(secret, "no-store", "public", 1), "no-store"},
		"no challenge":         {"POST", "/v2/auth/refresh", sent, 401, bad, strings.Replace(refused, "WWW-Authenticate", "X", 1), "WWW-Authenticate"},
		"no Retry-After":       {"POST", "/v2/auth/refresh", sent, 503, strings.Replace(bad, "InvalidSession", "Unavailable", 1), strings.Replace(busy, "Retry-After", "X", 1), "Retry-After"},
		"a header too many":    {"POST", "/v2/auth/refresh", sent, 200, good, secret + "\nX-Secret: a", "X-Secret"},
		"health":               {"GET", "/healthz", ``, 200, `{"status":"ok"}`, secret, ""},
		"another health":       {"GET", "/readyz", ``, 200, `{"status":"fine"}`, secret, "status"},
		"a gateway's answer":   {"GET", "/forward-auth", ``, 200, ``, "X-Request-Id: a\nCache-Control: no-store\nX-Auth-Login: a", "X-Auth-Level"},
		"request, no field":    {"POST", "/v2/auth/refresh", `{}`, 200, good, secret, "the request"},
		"request, no body":     {"POST", "/v2/auth/refresh", ``, 200, good, secret, "the request"},
		"request, wrong type":  {"POST", "/v2/auth/refresh", `{"token":1}`, 200, good, secret, "the request"},
		"request, one more":    {"POST", "/v2/auth/refresh", strings.Replace(sent, "{", `{"x":1,`, 1), 200, good, secret, "the request"},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := httptest.NewRecorder()
			for line := range strings.Lines(test.headers) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				recorder.Header().Set(key, value)
			}
			recorder.WriteHeader(test.status)
			_, _ = recorder.WriteString(test.answer)
			fault := c.check(httptest.NewRequest(test.method, test.path, nil), []byte(test.sent), recorder)
			if (fault == "") != (test.fault == "") || !strings.Contains(fault, test.fault) {
				t.Errorf("found %q, want %q", fault, test.fault)
			}
		})
	}
}

// TestExamples holds each example of the file against its schema.
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
				if response.Content == nil && operation.OperationId != "revoke" && operation.OperationId != "forwardAuth" {
					t.Errorf("%s %s %s has no content", method, path, status)
				}
				for media := range response.Content.ValuesFromOldest() {
					check(method+" "+path+" "+status, media)
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("%d examples were looked at", seen)
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
