package client_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/token"
	"github.com/pawlauth/pawl/pawltest"
)

// withClock gives a server a clock that runs, and a feed of its refreshes.
func withClock(t testing.TB, now func() time.Time) pawltest.Option {
	feed := revocation.NewFeed(revocation.FeedConfig{Clock: now})
	t.Cleanup(feed.Close)
	return pawltest.WithConfig(func(c *app.Config) {
		c.Clock = now
		c.Wrap = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/v2/revocations":
					serveFeed(feed, w, r)
				case "/v2/auth/refresh":
					publishRefresh(feed, next, w, r)
				default:
					next.ServeHTTP(w, r)
				}
			})
		}
	})
}

// publishRefresh publishes a refresh before it is acknowledged.
func publishRefresh(feed *revocation.Feed, next http.Handler, w http.ResponseWriter, r *http.Request) {
	response := httptest.NewRecorder()
	next.ServeHTTP(response, r)
	var envelope struct{ Data struct{ Token string } }
	_ = json.Unmarshal(response.Body.Bytes(), &envelope)
	algorithms := []jose.SignatureAlgorithm{jose.ES256, jose.HS256}
	if parsed, err := jwt.ParseSigned(envelope.Data.Token, algorithms); err == nil {
		var claims jwt.Claims
		_ = parsed.UnsafeClaimsWithoutVerification(&claims)
		session, number, _ := strings.Cut(claims.ID, ".")
		id, _ := token.ParseSessionID(session)
		generation, _ := strconv.ParseUint(number, 10, 32)
		feed.Publish([]revocation.Change{revocation.SessionRotated(id, uint32(generation))})
	}
	for name, values := range response.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(response.Code)
	_, _ = w.Write(response.Body.Bytes())
}

func serveFeed(feed *revocation.Feed, w http.ResponseWriter, r *http.Request) {
	subscriber, err := feed.Subscribe(r.Header.Get("Last-Event-ID"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer subscriber.Close()
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		part, more, err := subscriber.Next(r.Context())
		if err != nil {
			return
		}
		_, _ = w.Write(part)
		if !more {
			w.(http.Flusher).Flush()
		}
	}
}
