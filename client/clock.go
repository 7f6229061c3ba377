package client

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"
)

// elapsed returns the time between two readings of a clock, as the longer one of two measurements. The monotonic clock
// of some systems stops while the machine is suspended, and the wall clock can be set back.
func elapsed(since, now time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0))) // Round(0) removes the monotonic reading
}

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
	if err := json.Unmarshal(payload, &claims); err != nil || claims.IssuedAt <= 0 || claims.Expires <= claims.IssuedAt {
		return 0
	}
	return time.Duration(claims.Expires-claims.IssuedAt) * time.Second
}
