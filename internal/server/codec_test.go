package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
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
