package torture_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// kind is the kind of a call.
type kind string

const (
	login   kind = "login"
	refresh kind = "refresh"
	verify  kind = "verify"
	logout  kind = "logout"
	reset   kind = "reset"
)

// answer is the outcome of a call from the client's point of view.
type answer string

const (
	none     answer = "no answer" // disconnected, 503, or 429 to a login: the call may have taken effect
	done     answer = "200"
	rejected answer = "401"
)

// claims identifies a token by its content.
type claims struct {
	session         string
	generation      uint32
	issued, expires int64 // Unix seconds
}

// credential is a token with its claims.
type credential struct {
	claims
	text string
}

// parse reads the claims of a token without verifying it.
func parse(text string) (credential, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return credential{}, errors.New("not a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return credential{}, err
	}
	var content struct {
		ID      string `json:"jti"`
		Issued  int64  `json:"iat"`
		Expires int64  `json:"exp"`
	}
	if err := json.Unmarshal(payload, &content); err != nil {
		return credential{}, err
	}
	session, number, _ := strings.Cut(content.ID, ".")
	generation, err := strconv.ParseUint(number, 10, 32)
	return credential{
		claims: claims{
			session: session, generation: uint32(generation), issued: content.Issued, expires: content.Expires,
		},
		text: text,
	}, err
}

// call is one call with its answer.
type call struct {
	worker     int // unique for each goroutine
	kind       kind
	user       int64  // the owner of the session, or the user to reset
	with       claims // the token of the request; zero for a login or a reset
	key        string // the Idempotency-Key
	life       *life  // the node between two kills
	start, end int64  // Unix nanoseconds; without an answer, the call cannot take effect after end
	answer     answer
	got        claims // the token of a 200
	odd        string // a description of an answer that violates the contract, or ""
}

func (c *call) String() string {
	text := fmt.Sprintf("worker %-3d node %d %-7s", c.worker, c.life.number, c.kind)
	if c.with.generation > 0 {
		text += fmt.Sprintf(" generation %d", c.with.generation)
	}
	if c.key != "" {
		text += " key " + c.key
	}
	text += " -> " + string(c.answer)
	if c.got.generation > 0 {
		text += fmt.Sprintf(", generation %d issued %d", c.got.generation, c.got.issued)
	}
	return text + c.odd
}

// history has all calls of a run.
type history struct {
	began time.Time // its monotonic part orders the calls

	mu    sync.Mutex // guards the field below
	calls []*call
}

// now returns the time in Unix nanoseconds. It is monotonic within a history.
func (h *history) now() int64 { return h.began.UnixNano() + int64(time.Since(h.began)) }

func (h *history) add(c *call) {
	h.mu.Lock()
	h.calls = append(h.calls, c)
	h.mu.Unlock()
}

// close sets the end of each call without an answer: the kill of the node, or the end of the history. It drops calls to
// nodes that had already been killed. No call may be in flight.
func (h *history) close() {
	end := h.now()
	kept := h.calls[:0]
	for _, c := range h.calls {
		if c.answer == none {
			c.end = end
			if c.life.killed != 0 {
				c.end = c.life.killed
			}
		}
		if c.start <= c.end {
			kept = append(kept, c)
		}
	}
	h.calls = kept
}

// sessions returns the calls of each session. A reset belongs to each of the user's sessions that overlap with it,
// because the contract promises that each session ends, but not that all end at the same instant.
func (h *history) sessions() map[string][]*call {
	sessions, resets := map[string][]*call{}, map[int64][]*call{}
	for _, c := range h.calls {
		switch {
		case c.kind == reset:
			resets[c.user] = append(resets[c.user], c)
		case c.kind == login && c.answer == done:
			sessions[c.got.session] = append(sessions[c.got.session], c)
		case c.kind != login:
			sessions[c.with.session] = append(sessions[c.with.session], c)
		}
	}
	for id, calls := range sessions {
		first, last := calls[0].start, calls[0].end
		for _, c := range calls {
			first, last = min(first, c.start), max(last, c.end)
		}
		for _, c := range resets[calls[0].user] {
			if c.end >= first && c.start <= last {
				sessions[id] = append(sessions[id], c)
			}
		}
	}
	return sessions
}
