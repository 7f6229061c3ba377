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

// refusal checks that an error is one for the client, and short, and has not
// the secret in it.
func refusal(t *testing.T, err error, secret string) {
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

// FuzzBody reads a body with a secret in its middle. What is taken is taken by
// encoding/json too, with the same meaning, and is the same when it is written
// and read again. What is refused is refused without its values.
func FuzzBody(f *testing.F) {
	const secret = "S3cret-S3cret-S3cret"
	for _, seed := range [][2]string{
		{`{"token":`, `}`}, {`{"TOKEN":`, `}`}, {`{"token":`, `,"Token":"x"}`}, {`{"password":`, `,"login":1}`}, {`{"userId":`, `}`},
		{`{"userId":1,"authLevel":`, `}`}, {`{"userId":1e400,"x":`, `}`}, {`{"login":[`, `]}`}, {`{"x":{"y":`, `}}`}, {`[`, `]`}, {``, ``},
		{"{\"token\":\"\xff\",\"x\":", "}"}, {`{"token":"\ud800","x":`, `}`}, {` {"status":null,"email":`, "}\n"}, {`{"to_ken":`, `}x`}, {`{"login":`, ``},
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
			hidden = "" // a message may name a field
		}
		bodyOf[api.RefreshRequest](t, body, contentType, hidden)
		bodyOf[api.LoginRequest](t, body, contentType, hidden)
		bodyOf[api.PasswordRequest](t, body, contentType, hidden)
		bodyOf[api.SessionsRequest](t, body, contentType, hidden)
		bodyOf[api.UpdateUserRequest](t, body, contentType, hidden)
	})
}

// nameIsNext reports whether a string after this beginning of a JSON text would
// be the name of a member.
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

func bodyOf[T any](t *testing.T, body, contentType, secret string) {
	t.Helper()
	var got T
	if err := decode(requestWith(body, contentType), &got); err != nil {
		refusal(t, err, secret)
		return
	}
	var standard T
	if err := json.Unmarshal([]byte(body), &standard); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", body, err)
	}
	if !reflect.DeepEqual(got, standard) {
		t.Errorf("%q: %+v, encoding/json says %+v", body, got, standard)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var again T
	if len(text) > api.MaxBodyBytes {
		return // an escape can be longer than what it stands for
	}
	if err := decode(requestWith(string(text), "application/json"), &again); err != nil || !reflect.DeepEqual(got, again) {
		t.Errorf("%+v becomes %+v, %v", got, again, err)
	}
}

var bearerForm = regexp.MustCompile(`(?is)^bearer +([^ ].*)$`)

// FuzzCredentials reads Authorization and X-API-Key, once and twice.
func FuzzCredentials(f *testing.F) {
	for _, seed := range []string{"", "Bearer a.b.c", "bearer  a.b.c", "BEARER\ta.b.c", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "Bearer,a", "Bearer \x00", "Bearer é"} {
		f.Add(seed, seed, false)
		f.Add(seed, "pawl_AAAA", true)
	}
	f.Fuzz(func(t *testing.T, authorization, key string, twice bool) {
		r := requestWith("", "")
		r.Header["Authorization"], r.Header["X-Api-Key"] = []string{authorization}, []string{key}
		if twice {
			r.Header["Authorization"], r.Header["X-Api-Key"] = []string{authorization, authorization}, []string{key, key}
		}
		want := ""
		if match := bearerForm.FindStringSubmatch(authorization); match != nil && !twice {
			want = match[1]
		}
		credential(t, "bearer", bearerToken, r, want, fault.InvalidSession, authorization)
		if twice {
			key = ""
		}
		credential(t, "key", apiKey, r, key, fault.InvalidAPIKey, key)
	})
}

// credential wants what a header has, or an error of that kind where it has nothing.
func credential(t *testing.T, name string, read func(*http.Request) (string, error), r *http.Request, want string, kind fault.Kind, sent string) {
	t.Helper()
	got, err := read(r)
	if got != want || (err == nil) != (want != "") {
		t.Errorf("%s of %q: %q, %v", name, sent, got, err)
	}
	if err == nil {
		return
	}
	if len(sent) < 12 {
		sent = "" // a word of the message by chance
	}
	refusal(t, err, sent)
	if known, _ := errors.AsType[*fault.Error](err); known.Kind != kind {
		t.Errorf("%s of %q: kind %d", name, sent, known.Kind)
	}
}
