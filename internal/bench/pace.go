package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Call is a kind of request.
type Call int

// The possible calls of a Mix.
const (
	Refresh Call = iota
	Session
	RefreshWithKey // a refresh with an API key
	Introspect     // the introspection of a token, by the user of an API key
	callCount
)

var callNames = [callCount]string{"refresh", "session", "refresh+key", "introspect"}

// String returns the call's name: the last part of its path, with +key if it has an API key beside the token.
func (c Call) String() string { return callNames[c] }

// rotates reports whether the answer to a call has the next token.
func (c Call) rotates() bool { return c == Refresh || c == RefreshWithKey }

// Mix has a weight for each call. The weights set how often each call is sent.
type Mix [callCount]int

// Only returns a mix of only one call.
func Only(c Call) Mix {
	var m Mix
	m[c] = 1
	return m
}

// NeedsKey reports whether a call of the mix needs an API key.
func (m Mix) NeedsKey() bool { return m[RefreshWithKey] > 0 || m[Introspect] > 0 }

// UnmarshalText parses a text like refresh=1,session=9. A call without a weight is not sent.
func (m *Mix) UnmarshalText(text []byte) error {
	var got Mix
	sum := 0
	for part := range strings.SplitSeq(string(text), ",") {
		name, weight, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(weight)
		call := -1
		for i, known := range callNames {
			if name == known {
				call = i
			}
		}
		if call < 0 || err != nil || n < 0 || n > 1000 {
			return fmt.Errorf("%q is not a mix; write it like refresh=1,session=9, with weights from 0 to 1000", text)
		}
		got[call] = n
		sum += n
	}
	if sum == 0 {
		return fmt.Errorf("%q has no weight above 0; a mix needs one", text)
	}
	*m = got
	return nil
}

func (m Mix) pick(random *rand.Rand) Call {
	sum := 0
	for _, weight := range m {
		sum += weight
	}
	n := random.IntN(sum)
	for call, weight := range m {
		if n < weight {
			return Call(call)
		}
		n -= weight
	}
	return Refresh // not reached
}

// pace sends the due time of each request to a free worker, until end. If no worker is free, the following requests are
// late, but keep their due times.
func pace(ctx context.Context, rate float64, start, end time.Time, due chan<- time.Time) {
	defer close(due)
	for n := 0; ; n++ {
		at := start.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		if at.After(end) || time.Now().After(end) {
			return
		}
		for wait := time.Until(at); wait > 0; wait = time.Until(at) {
			sleep(wait)
		}
		select {
		case due <- at:
		case <-ctx.Done():
			return
		}
	}
}
