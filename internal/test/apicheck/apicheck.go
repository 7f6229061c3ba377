// Package apicheck holds a server's traffic against its OpenAPI file, in tests.
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
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	"github.com/pb33f/libopenapi-validator/errors"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"

	"github.com/pawlauth/pawl/api"
)

// checker is the file, read. The lock is for the validator, which is not
// documented to be safe for concurrent use.
type checker struct {
	mu        sync.Mutex
	model     *v3.Document
	validator validator.Validator
}

// Model returns the file, read; it may not be changed.
func Model(t testing.TB) *v3.Document {
	t.Helper()
	return open(t).model
}

// read reads the file once for all tests of a package.
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
		config.WithStrictIgnoredHeadersExtra("Allow", "Cache-Control", "X-Content-Type-Options"))
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

// described reports whether the file says what a request is answered: of the
// paths for gateways and load balancers, which take any method, it has GET.
func described(method, path string) bool {
	switch path {
	case "/forward-auth", "/healthz", "/readyz":
		return method == http.MethodGet
	}
	for _, prefix := range []string{"/v2/", "/oauth2/", "/.well-known/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// Handler returns what goes around a server's handler: each answer that is
// described must be as the file says, and so must each request that succeeds.
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
				t.Errorf("not as openapi.yaml has it: %s %s %s\n%d %s\n%s", r.Method, r.URL.Path, body, recorder.Code, recorder.Body, fault)
			}
			pass(w, recorder)
		})
	}
}

// pass sends on what the server answered.
func pass(w http.ResponseWriter, recorder *httptest.ResponseRecorder) {
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes()) // the client is gone: nobody to tell
}

// check returns what is wrong, or nothing.
func (c *checker) check(sent *http.Request, body []byte, answer *httptest.ResponseRecorder) string {
	if path.Clean(sent.URL.Path) != sent.URL.Path { // the validator would clean it
		return checkNoCall(answer)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	answered := answer.Result()
	ok, errs := c.validator.ValidateHttpResponse(sent, answered)
	if !ok && notThere(errs) {
		return checkNoCall(answer)
	}
	if !ok {
		return "the answer: " + explain(errs)
	}
	if answer.Code != http.StatusOK || sent.URL.Path == "/forward-auth" { // a gateway may send on any query
		return ""
	}
	sent.Body = io.NopCloser(bytes.NewReader(body))
	maps.DeleteFunc(sent.Header, func(name string, _ []string) bool { return strings.HasPrefix(name, "Sec-") }) // a browser's own
	if len(body) > 0 && sent.Header.Get("Content-Type") == "" {
		sent.Header.Set("Content-Type", "application/json") // what the server takes it for
	}
	if ok, errs := c.validator.ValidateHttpRequestSync(sent); !ok {
		return "the request: " + explain(errs)
	}
	return ""
}

// notThere reports whether the file has no such path, or not with this method.
func notThere(errs []*errors.ValidationError) bool {
	return len(errs) == 1 && (errs[0].IsPathMissingError() || errs[0].IsOperationMissingError())
}

// checkNoCall holds the answer to what is not in the file. The paths of OAuth
// refuse it in OAuth's form.
func checkNoCall(answer *httptest.ResponseRecorder) string {
	var refused api.OAuthError
	if (answer.Code == http.StatusNotFound || answer.Code == http.StatusMethodNotAllowed) && json.Unmarshal(answer.Body.Bytes(), &refused) == nil && refused.Code == "invalid_request" {
		return ""
	}
	var envelope api.Envelope[any]
	err := json.Unmarshal(answer.Body.Bytes(), &envelope)
	if err != nil || envelope.ErrorCode != api.CodeObjectNotFound || answer.Code != http.StatusNotFound && answer.Code != http.StatusMethodNotAllowed {
		return "the file does not have this call"
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
