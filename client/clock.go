package client

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/clock"
)

// lifeOf returns the exp − iat of a token, without verifying the token. It returns 0 if the token has no such claims.
func lifeOf(token string) time.Duration {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return 0
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return 0
	}
	var claims struct {
		IssuedAt int64 `json:"iat"`
		Expires  int64 `json:"exp"`
	}
	if err := json.Unmarshal(payload, &claims); err != nil || claims.IssuedAt <= 0 {
		return 0
	}
	return max(0, time.Duration(claims.Expires-claims.IssuedAt)*time.Second)
}

// serverClock estimates the server's time from a response. The zero value trusts the local clock.
type serverClock struct {
	date     time.Time // the server's time of the response; zero if the response has none
	sent     time.Time // the local time before the request
	received time.Time // the local time after the response
}

// at returns the server's time at a moment of the local clock. If the local clock is consistent with the response, at
// returns the local time, because it is more precise than a Date in whole seconds.
func (s serverClock) at(local time.Time) time.Time {
	if s.date.IsZero() {
		return local
	}
	earliest := s.date.Add(clock.Elapsed(s.received, local))
	latest := s.date.Add(time.Second + clock.Elapsed(s.sent, local))
	switch {
	case local.Before(earliest):
		return earliest
	case local.After(latest):
		return latest
	}
	return local
}

// dateOf returns the server's time of a response: its Date (RFC 9110, 6.6.1), plus its Age if it is from a cache
// (RFC 9111, 5.1). It returns the zero time without a well-formed Date.
func dateOf(h http.Header) time.Time {
	date, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	if age, err := strconv.ParseUint(h.Get("Age"), 10, 31); err == nil {
		date = date.Add(time.Duration(age) * time.Second)
	}
	return date
}
