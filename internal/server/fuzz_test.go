package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// checkRejection checks that an error is for the client, is short, and does not contain a secret.
func checkRejection(t *testing.T, err error, secret string) {
	t.Helper()
	known, ok := errors.AsType[*fault.Error](err)
	if !ok {
		t.Fatalf("not an error for a client: %v", err)
	}
	if known.Message == "" || len(known.Message) > 250 || !utf8.ValidString(known.Message) {
		t.Errorf("the message is %q", known.Message)
	}
	if secret != "" && strings.Contains(err.Error(), secret) {
		t.Errorf("the message has the secret: %q", known.Message)
	}
}

// FuzzBody decodes a body with a secret in the middle. An accepted body has the same meaning to encoding/json, and
// survives a round trip. The error for a rejected body does not contain the secret.
func FuzzBody(f *testing.F) {
	const secret = "S3cret-S3cret-S3cret"
	for _, seed := range [][2]string{
		{`{"token":`, `}`}, {`{"TOKEN":`, `}`}, {`{"token":`, `,"Token":"x"}`}, {`{"password":`, `,"login":1}`},
		{`{"userId":`, `}`}, {`{"userId":1,"authLevel":`, `}`}, {`{"userId":1e400,"x":`, `}`}, {`{"login":[`, `]}`},
		{`{"x":{"y":`, `}}`}, {`[`, `]`}, {``, ``}, {"{\"token\":\"\xff\",\"x\":", "}"},
		{`{"token":"\ud800","x":`, `}`}, {` {"status":null,"email":`, "}\n"}, {`{"to_ken":`, `}x`}, {`{"login":`, ``},
		{`{"revokeOtherSessions":`, `}`}, {strings.Repeat(`{"a":`, 300), strings.Repeat("}", 300)},
	} {
		f.Add(seed[0], seed[1], "application/json")
	}
	f.Add(`{"token":`, `}`, "text/plain")
	f.Add(`{"token":`, `}`, `application/json; charset="utf-16"`)
	f.Fuzz(func(t *testing.T, before, after, contentType string) {
		body := before + `"` + secret + `"` + after
		hidden := secret
		if nameIsNext(before) {
			hidden = "" // because a message may contain the name of a field
		}
		checkBody[api.RefreshRequest](t, body, contentType, hidden)
		checkBody[api.LoginRequest](t, body, contentType, hidden)
		checkBody[api.PasswordRequest](t, body, contentType, hidden)
		checkBody[api.SessionsRequest](t, body, contentType, hidden)
		checkBody[api.UpdateUserRequest](t, body, contentType, hidden)
	})
}

// nameIsNext reports whether a string after the beginning of a JSON text would be the name of a member.
func nameIsNext(beginning string) bool {
	decoder := jsontext.NewDecoder(strings.NewReader(beginning))
	for {
		if _, err := decoder.ReadToken(); err != nil {
			kind, length := decoder.StackIndex(decoder.StackDepth())
			return kind == '{' && length%2 == 0
		}
	}
}

func requestWith(body, contentType string) *http.Request {
	r, _ := http.NewRequest("POST", "/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return r
}

// checkBody compares decode with encoding/json for one type.
func checkBody[T any](t *testing.T, body, contentType, secret string) {
	t.Helper()
	var got T
	if err := decode(requestWith(body, contentType), &got); err != nil {
		checkRejection(t, err, secret)
		return
	}
	var standard T
	if err := json.Unmarshal([]byte(body), &standard); err != nil {
		t.Fatalf("encoding/json rejects %q: %v", body, err)
	}
	if !reflect.DeepEqual(got, standard) {
		t.Errorf("%q: %+v, encoding/json returns %+v", body, got, standard)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > api.MaxBodyBytes {
		return // because an escape can be longer than its character
	}
	var again T
	err = decode(requestWith(string(text), "application/json"), &again)
	if err != nil || !reflect.DeepEqual(got, again) {
		t.Errorf("%+v becomes %+v, %v", got, again, err)
	}
}

var bearerForm = regexp.MustCompile(`(?is)^bearer +([^ ].*)$`)

// FuzzCredentials parses Authorization and X-API-Key. Both must be rejected if they occur twice.
func FuzzCredentials(f *testing.F) {
	for _, seed := range []string{
		"", "Bearer a.b.c", "bearer  a.b.c", "BEARER\ta.b.c", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b",
		"Bearer,a", "Bearer \x00", "Bearer é",
	} {
		f.Add(seed, seed, false)
		f.Add(seed, "pawl_AAAA", true)
	}
	f.Fuzz(func(t *testing.T, authorization, key string, twice bool) {
		r := requestWith("", "")
		r.Header["Authorization"] = []string{authorization}
		r.Header["X-Api-Key"] = []string{key}
		wantBearer, wantKey := "", key
		if match := bearerForm.FindStringSubmatch(authorization); match != nil {
			wantBearer = match[1]
		}
		if twice {
			r.Header["Authorization"] = []string{authorization, authorization}
			r.Header["X-Api-Key"] = []string{key, key}
			wantBearer, wantKey = "", ""
		}
		got, err := bearerToken(r)
		if got != wantBearer {
			t.Errorf("the bearer token of %q: %q, want %q", authorization, got, wantBearer)
		}
		checkCredential(t, authorization, wantBearer, fault.InvalidSession, err)
		got, err = apiKey(r)
		if got != wantKey {
			t.Errorf("the API key of %q: %q, want %q", key, got, wantKey)
		}
		checkCredential(t, key, wantKey, fault.InvalidAPIKey, err)
	})
}

// checkCredential checks that the error of a parser has a kind, or is nil if the parser should return a credential.
func checkCredential(t *testing.T, header, want string, kind fault.Kind, err error) {
	t.Helper()
	if (err == nil) != (want != "") {
		t.Errorf("%q: %v", header, err)
	}
	if err == nil {
		return
	}
	secret := header
	if len(secret) < 12 {
		secret = "" // because a short text may be part of a message by chance
	}
	checkRejection(t, err, secret)
	if known, _ := errors.AsType[*fault.Error](err); known.Kind != kind {
		t.Errorf("%q: kind %d, want %d", header, known.Kind, kind)
	}
}
