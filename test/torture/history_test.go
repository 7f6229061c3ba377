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

// kind is what a client asks for.
type kind string

const (
	login   kind = "login"
	refresh kind = "refresh"
	verify  kind = "verify"
	logout  kind = "logout"
	reset   kind = "reset"
)

// answer is what the client was told.
type answer string

const (
	none    answer = "no answer" // cut off, 503, or 429 to a login: it happened, or it did not
	done    answer = "200"
	refused answer = "401"
)

// claims is what a token says; it stands for the token.
type claims struct {
	session         string
	generation      uint32
	issued, expires int64 // Unix seconds
}

// credential is a token and what it says.
type credential struct {
	claims
	text string
}

func parse(text string) (credential, error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return credential{}, errors.New("not a JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return credential{}, err
	}
	var said struct {
		ID      string `json:"jti"`
		Issued  int64  `json:"iat"`
		Expires int64  `json:"exp"`
	}
	if err := json.Unmarshal(payload, &said); err != nil {
		return credential{}, err
	}
	session, number, _ := strings.Cut(said.ID, ".")
	generation, err := strconv.ParseUint(number, 10, 32)
	return credential{claims{session, uint32(generation), said.Issued, said.Expires}, text}, err
}

// call is one call and its answer.
type call struct {
	worker     int // who called: unique for each goroutine
	kind       kind
	user       int64  // whose session; of a reset, the user
	with       claims // the token that was sent; zero for a login and a reset
	key        string // Idempotency-Key
	life       *life  // which node, between which two kills
	start, end int64  // Unix nanoseconds; without an answer, end is when it cannot happen any more
	answer     answer
	got        claims // the token of a 200
	odd        string // an answer that the contract does not have here
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

// history is every call of a run.
type history struct {
	began time.Time // its monotonic part orders the calls

	mu    sync.Mutex // guards what follows
	calls []*call
}

// now is the time in Unix nanoseconds, which never goes back within a history.
func (h *history) now() int64 { return h.began.UnixNano() + int64(time.Since(h.began)) }

func (h *history) add(c *call) {
	h.mu.Lock()
	h.calls = append(h.calls, c)
	h.mu.Unlock()
}

// settle gives the calls without an answer their end: the death of the process
// that they were sent to, or the end of the history. It drops those that were
// sent to a process that was dead already. No call may be under way.
func (h *history) settle() {
	end := h.now()
	kept := h.calls[:0]
	for _, c := range h.calls {
		if c.answer == none {
			c.end = end
			if c.life.died != 0 {
				c.end = c.life.died
			}
		}
		if c.start <= c.end {
			kept = append(kept, c)
		}
	}
	h.calls = kept
}

// sessions gives the calls of each session. A reset is a call of each session
// of its user that it may have met: the contract says that each is dead, not
// that all die in one instant.
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
