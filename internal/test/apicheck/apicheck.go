// Package apicheck compares a server's traffic with openapi.yaml in tests. Handler wraps the server's handler and
// reports every request and response that openapi.yaml does not describe.
package apicheck

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/paths"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"

	"github.com/pawlauth/pawl/api"
)

// checker is the parsed openapi.yaml.
type checker struct {
	mu        sync.Mutex // guards validator, which is not documented as safe for concurrent use
	model     *v3.Document
	validator validator.Validator
}

// Model returns the parsed openapi.yaml. The caller must not modify it.
func Model(t testing.TB) *v3.Document {
	t.Helper()
	return open(t).model
}

// read parses openapi.yaml once for all tests of a package.
var read = sync.OnceValues(func() (*checker, error) {
	document, err := libopenapi.NewDocument([]byte(api.OpenAPI()))
	if err != nil {
		return nil, err
	}
	model, err := document.BuildV3Model()
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(document, config.WithFormatAssertions(), config.WithStrictMode(),
		config.WithStrictIgnorePaths("$.body.claims.**", "$.body.ext.**"), // they have any names
		// A client may send its API key with a call that needs none.
		config.WithStrictIgnoredHeadersExtra("X-API-Key", "Allow", "Cache-Control", "X-Content-Type-Options", "Origin",
			"Vary", "Set-Cookie", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials",
			"Access-Control-Expose-Headers"))
	if len(errs) > 0 {
		return nil, errs[0]
	}
	if ok, errs := v.ValidateDocument(); !ok {
		return nil, fmt.Errorf("openapi.yaml is not OpenAPI 3.1: %s", explain(errs))
	}
	return &checker{model: &model.Model, validator: v}, nil
})

func open(t testing.TB) *checker {
	t.Helper()
	c, err := read()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// described reports whether openapi.yaml describes a request. The paths for gateways and load balancers accept every
// method, but openapi.yaml describes only GET.
func described(method, path string) bool {
	switch path {
	case "/forward-auth", "/healthz", "/readyz":
		return method == http.MethodGet
	case "/v2/revocations":
		return false // the response has no end
	}
	for _, prefix := range []string{"/v2/", "/oauth2/", "/.well-known/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// Handler returns a middleware. It fails the test if a response, or the request of a success, differs from
// openapi.yaml. Paths that openapi.yaml does not describe pass unchecked.
func Handler(t testing.TB) func(http.Handler) http.Handler {
	c := open(t)
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !described(r.Method, r.URL.Path) {
				next.ServeHTTP(w, r)
				return
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("apicheck: %v", err)
			}
			sent := r.Clone(r.Context())
			r.Body = io.NopCloser(bytes.NewReader(body))
			recorder := httptest.NewRecorder()
			next.ServeHTTP(recorder, r)
			if fault := c.check(sent, body, recorder); fault != "" {
				t.Errorf("differs from openapi.yaml: %s %s %s\n%d %s\n%s",
					r.Method, r.URL.Path, body, recorder.Code, recorder.Body, fault)
			}
			pass(w, recorder)
		})
	}
}

// pass forwards the recorded response to the client.
func pass(w http.ResponseWriter, recorder *httptest.ResponseRecorder) {
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes()) // an error means that the client has disconnected
}

// check returns a description of the first difference, or "".
func (c *checker) check(sent *http.Request, body []byte, answer *httptest.ResponseRecorder) string {
	if path.Clean(sent.URL.Path) != sent.URL.Path { // the validator would clean the path
		return checkUnknownCall(answer)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	answered := answer.Result()
	ok, errs := c.validator.ValidateHttpResponse(sent, answered)
	if len(errs) == 1 && (errs[0].IsPathMissingError() || errs[0].IsOperationMissingError()) {
		return checkUnknownCall(answer)
	}
	if !ok {
		return "the response: " + explain(errs)
	}
	if fault := c.checkErrorCode(sent, answer); fault != "" {
		return fault
	}
	if answer.Code != http.StatusOK || sent.URL.Path == "/forward-auth" { // a gateway may forward any query
		return ""
	}
	sent.Body = io.NopCloser(bytes.NewReader(body))
	if _, err := sent.Cookie("__Host-pawl"); err == nil && sent.Header.Get("Authorization") == "" {
		sent.Header.Set("Authorization", "Bearer x") // because strict mode rejects the cookie of a security scheme
	}
	maps.DeleteFunc(sent.Header, func(name string, _ []string) bool {
		return strings.HasPrefix(name, "Sec-") || name == "Cookie" // browsers add these headers
	})
	if len(body) > 0 && sent.Header.Get("Content-Type") == "" {
		sent.Header.Set("Content-Type", "application/json") // the server assumes this type
	}
	if ok, errs := c.validator.ValidateHttpRequestSync(sent); !ok {
		return "the request: " + explain(errs)
	}
	return ""
}

// checkErrorCode requires an errorCode that openapi.yaml has for the status. All errors have one schema, because one
// type is easier to use in a generated client. The extension x-error-codes of a response has the codes of its status.
func (c *checker) checkErrorCode(sent *http.Request, answer *httptest.ResponseRecorder) string {
	item, errs, _ := paths.FindPath(sent, c.model, nil)
	if item == nil {
		return "the path: " + explain(errs)
	}
	operation := item.GetOperations().GetOrZero(strings.ToLower(sent.Method))
	if operation == nil { // a HEAD
		return ""
	}
	response := operation.Responses.Codes.GetOrZero(strconv.Itoa(answer.Code))
	codes := response.Extensions.GetOrZero("x-error-codes")
	if codes == nil {
		return ""
	}
	var envelope api.Envelope[any]
	if err := json.Unmarshal(answer.Body.Bytes(), &envelope); err != nil {
		return err.Error()
	}
	for _, code := range codes.Content {
		if code.Value == string(envelope.ErrorCode) {
			return ""
		}
	}
	return fmt.Sprintf("the response: status %d has the errorCode %s", answer.Code, envelope.ErrorCode)
}

// checkUnknownCall requires that the response to a call outside openapi.yaml rejects it, in Pawl's or in OAuth's form.
func checkUnknownCall(answer *httptest.ResponseRecorder) string {
	const missing = "openapi.yaml does not have this call"
	if answer.Code != http.StatusNotFound && answer.Code != http.StatusMethodNotAllowed {
		return missing
	}
	var oauth api.OAuthError
	if json.Unmarshal(answer.Body.Bytes(), &oauth) == nil && oauth.Code == "invalid_request" {
		return ""
	}
	var envelope api.Envelope[any]
	err := json.Unmarshal(answer.Body.Bytes(), &envelope)
	if err != nil || envelope.ErrorCode != api.CodeObjectNotFound {
		return missing
	}
	return ""
}

func explain(errs []*errors.ValidationError) string {
	var lines []string
	for _, e := range errs {
		lines = append(lines, e.Message+": "+e.Reason)
		for _, s := range e.SchemaValidationErrors {
			lines = append(lines, fmt.Sprintf("  %s at %s", s.Reason, s.FieldPath))
		}
	}
	return strings.Join(lines, "\n")
}
