package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/api"
)

// FuzzEnvelope compares the hand-encoded responses with those of encoding/json.
func FuzzEnvelope(f *testing.F) {
	f.Add("a.b.c", int64(1), int64(1_795_500_000), true)
	f.Add("\"\\\x00é\u2028<&>\xff", int64(-1), int64(0), false)
	f.Add("\xff", int64(1), int64(1), false)
	f.Add("\u2028", int64(1), int64(1), false)
	f.Add("\x7f", int64(1), int64(1), false)
	f.Add("\x01", int64(1), int64(1), false)
	f.Fuzz(func(t *testing.T, text string, number, at int64, byAPIKey bool) {
		at %= 200_000_000_000 // because a year has four digits in RFC 3339
		expires := wireTime(max(at, 0))
		session := api.SessionInfo{
			UserID: number, Login: text, NetworkID: number, MailboxID: number,
			AuthLevel: api.Level(text), ExpiresAt: &expires,
		}
		if byAPIKey {
			session.ExpiresAt = nil
		}
		issued := base64.RawURLEncoding.EncodeToString([]byte(text)) // like a token
		token := api.Token{Token: issued, ExpiresAt: expires, UserID: number}
		for _, data := range []any{
			token, api.TokenPair{Token: token, RefreshToken: issued},
			api.TokenWithSessionKey{Token: token, SessionKey: issued}, session,
		} {
			e := api.Envelope[any]{Success: true, Data: data}
			var want bytes.Buffer
			encoder := json.NewEncoder(&want)
			encoder.SetEscapeHTML(false)
			if err := encoder.Encode(e); err != nil {
				t.Fatal(err)
			}
			if got := appendEnvelope(nil, e); !bytes.Equal(got, want.Bytes()) {
				t.Errorf("%s, want %s", got, want.Bytes())
			}
		}
	})
}

// FuzzIntrospection compares the hand-encoded response to an introspection with that of encoding/json.
func FuzzIntrospection(f *testing.F) {
	f.Add("ada@example.com", "", "https://auth.example.com", int64(1), byte(0))
	f.Add("\"\\\x00é\u2028<&>\xff", "x", "y", int64(-1), byte(1))
	f.Add("a", "\"", "\u2028", int64(0), byte(2))
	f.Add("<", "\xff", "&", int64(1), byte(3))
	f.Add("", "", "", int64(1), byte(8<<2))
	f.Add("a", "b", "c", int64(1), byte(9<<2|1))
	f.Add("a", "b", "c", int64(1), byte(9<<2|2))
	for field := range byte(12) {
		f.Add("a\"", "b\n", "c\\", int64(field), field<<2) // each text needs escapes
		f.Add("a", "b", "c", int64(field), field<<2)       // from 9 on with all texts
	}
	f.Add("a\x7f", "b\x7f", "c\x7f", int64(9), byte(9<<2))
	f.Fuzz(func(t *testing.T, a, b, c string, number int64, shape byte) {
		want := api.Introspection{Active: true, IssuedAt: number, Expires: -number, NetworkID: number, MailboxID: 7}
		texts := []*string{
			&want.Subject, &want.Username, &want.TokenType, &want.Issuer, &want.Audience, &want.ID, &want.SessionID,
			(*string)(&want.AuthLevel), &want.ExternalID,
		}
		for i, text := range texts {
			*text = []string{a, b, c}[(i+int(shape>>2))%3]
		}
		if shape&1 != 0 {
			want.Actor = &api.Actor{Subject: a}
		}
		if shape&2 != 0 {
			want.Extra = json.RawMessage(`{ "a": 1 }`)
		}
		if only := int(shape >> 2); only < len(texts) {
			for i, text := range texts {
				if i != only {
					*text = "x" // one text at a time can need escapes
				}
			}
		}
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(want); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		writeOAuth(w, 200, "no-store", want)
		if got := w.Body.String(); got != text.String() {
			t.Errorf("%s, want %s", got, text.String())
		}
	})
}

var benchToken = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9." + strings.Repeat("x", 340) + "." + strings.Repeat("y", 43)

// BenchmarkParse decodes the body of a refresh.
func BenchmarkParse(b *testing.B) {
	body := `{"token":"` + benchToken + `"}`
	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Content-Type", "application/json")
	reader := strings.NewReader(body)
	r.Body = io.NopCloser(reader)
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		var into api.RefreshRequest
		if err := decode(r, &into); err != nil || into.Token != benchToken {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncode encodes the response of a refresh by hand, and with encoding/json. The server uses encoding/json for
// the responses with a message.
func BenchmarkEncode(b *testing.B) {
	for name, message := range map[string]string{"plain": "", "general": "."} {
		b.Run(name, func(b *testing.B) {
			var data any = api.Token{Token: benchToken, ExpiresAt: wireTime(1_795_500_000), UserID: 4821}
			out := make([]byte, 0, 1024)
			b.ReportAllocs()
			for b.Loop() {
				out = appendEnvelope(out[:0], api.Envelope[any]{Success: true, Data: data, Message: message})
			}
		})
	}
}

// BenchmarkIntrospection writes the response to an introspection, by hand and with encoding/json.
func BenchmarkIntrospection(b *testing.B) {
	plain := api.Introspection{
		Active: true, Subject: "4821", Username: "ada@example.com", TokenType: "Bearer",
		Issuer: "https://auth.example.com", Audience: "orders", IssuedAt: 1_795_500_000, Expires: 1_795_503_600,
		ID: "AAAAAAAAAAAAAAAAAAAAAA.2", SessionID: "AAAAAAAAAAAAAAAAAAAAAA", AuthLevel: "MailboxAdmin",
		NetworkID: 1, MailboxID: 101,
	}
	general := plain
	general.Username = "\"ada\"@example.com" // needs escapes
	for name, data := range map[string]api.Introspection{"plain": plain, "general": general} {
		b.Run(name, func(b *testing.B) {
			w := &discarded{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				writeOAuth(w, 200, "no-store", data)
			}
		})
	}
}

// discarded is an http.ResponseWriter that discards the body.
type discarded struct{ header http.Header }

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(int)             {}
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }
