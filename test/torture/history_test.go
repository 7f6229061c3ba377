package torture_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pawlauth/pawl/api"
)

// kind is the kind of a call.
type kind string

const (
	login   kind = "login"
	refresh kind = "refresh"
	verify  kind = "verify"
	logout  kind = "logout"
	reset   kind = "reset"
	useKey  kind = "use key"

	// The kinds below change a user. They are calls of the Root or of the family's admin.

	setStatus   kind = "set status"
	setLevel    kind = "set level"
	setNetwork  kind = "set network"
	setMailbox  kind = "set mailbox"
	setPassword kind = "set password"
	newKey      kind = "new key"
	removeKey   kind = "remove key"
)

// answer is the outcome of a call from the client's point of view.
type answer string

const (
	none     answer = "no answer" // disconnected, 503, or 429 to a login: the call may have taken effect
	done     answer = "200"
	rejected answer = "401"
	denied   answer = "403" // or 404: the caller is signed in, but may not change the user
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
	view
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
		ID      string    `json:"jti"`
		Issued  int64     `json:"iat"`
		Expires int64     `json:"exp"`
		Level   api.Level `json:"authLevel"`
		Network int64     `json:"networkId"`
		Mailbox int64     `json:"mailboxId"`
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
		view: view{level: content.Level, network: content.Network, mailbox: content.Mailbox},
		text: text,
	}, err
}

// view is what an answer shows of a user.
type view struct {
	level            api.Level
	network, mailbox int64
}

// call is one call with its answer.
type call struct {
	worker     int // unique for each goroutine
	kind       kind
	user       int64  // the owner of the session or the API key, or the user to change
	byAdmin    bool   // whether the caller is the family's admin; else it is the user, or the Root
	with       claims // the token of the request; zero without one
	apiKey     int64  // the API key of the request; in newKey and removeKey, the API key that is created or removed
	value      string // the password of a login, or the new value of a change
	key        string // the Idempotency-Key
	life       *life  // the node between two kills
	start, end int64  // Unix nanoseconds; without an answer, the call cannot take effect after end
	answer     answer
	got        claims // the token of a 200
	seen       *view  // the user of the session or the API key, if the answer shows it
	odd        string // a description of an answer that violates the contract, or ""
	was        kind   // the kind before as changed it, or ""
}

// as returns the call as it concerns a session: a change with a token is a check of the token, and a suspension ends
// the sessions of the user.
func (c *call) as(k kind) *call {
	other := *c
	other.was, other.kind = c.kind, k
	switch {
	case k == reset:
		other.with = claims{}
	case c.answer == denied:
		other.answer = done // the token was accepted
	}
	return &other
}

func (c *call) String() string {
	text := fmt.Sprintf("worker %-3d node %d %-7s", c.worker, c.life.number, cmp.Or(c.was, c.kind))
	if c.byAdmin {
		text += " by the admin"
	}
	if c.with.generation > 0 {
		text += fmt.Sprintf(" generation %d", c.with.generation)
	}
	if c.apiKey != 0 {
		text += fmt.Sprintf(" API key %d", c.apiKey)
	}
	if c.value != "" {
		text += fmt.Sprintf(" %q", c.value)
	}
	if c.key != "" {
		text += " key " + c.key
	}
	text += " -> " + string(c.answer)
	if c.got.generation > 0 {
		text += fmt.Sprintf(", generation %d issued %d", c.got.generation, c.got.issued)
	}
	if c.seen != nil {
		text += fmt.Sprintf(", %s of network %d, mailbox %d", c.seen.level, c.seen.network, c.seen.mailbox)
	}
	return text + c.odd
}

// history has all calls of a run.
type history struct {
	began    time.Time // its monotonic part orders the calls
	families []*family
	// clocksSet is whether the clocks of the nodes were set. Only faults without times are looked for then.
	clocksSet bool

	mu    sync.Mutex // guards the fields below
	calls []*call
	local []localCheck
}

// now returns the time in Unix nanoseconds. It is monotonic within a history.
func (h *history) now() int64 { return h.began.UnixNano() + int64(time.Since(h.began)) }

func (h *history) add(c *call) {
	h.mu.Lock()
	h.calls = append(h.calls, c)
	h.mu.Unlock()
}

func (h *history) addLocal(c localCheck) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.local = append(h.local, c)
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

// sessions returns the calls of each session. A reset or a suspension belongs to each of the user's sessions that
// overlap with it. Each of these sessions is checked on its own.
func (h *history) sessions() map[string][]*call {
	sessions, ends := map[string][]*call{}, map[int64][]*call{}
	for _, c := range h.calls {
		switch {
		case c.kind == reset:
			ends[c.user] = append(ends[c.user], c)
		case c.kind == login && c.answer == done:
			sessions[c.got.session] = append(sessions[c.got.session], c)
		case c.kind == refresh || c.kind == verify || c.kind == logout:
			sessions[c.with.session] = append(sessions[c.with.session], c)
		case c.with.session != "" && c.answer != none:
			sessions[c.with.session] = append(sessions[c.with.session], c.as(verify))
		}
		if c.kind == setStatus && c.value == string(api.StatusSuspended) && (c.answer == done || c.answer == none) {
			ends[c.user] = append(ends[c.user], c.as(reset))
		}
	}
	for id, calls := range sessions {
		first, last := calls[0].start, calls[0].end
		for _, c := range calls {
			first, last = min(first, c.start), max(last, c.end)
		}
		for _, c := range ends[owner(calls)] {
			if c.end >= first && c.start <= last {
				sessions[id] = append(sessions[id], c)
			}
		}
	}
	return sessions
}

// owner returns the owner of the session with these calls. A call of an admin is about another user.
func owner(calls []*call) int64 {
	for _, c := range calls {
		if !c.byAdmin {
			return c.user
		}
	}
	return 0 // the calls of the session have no login, which is a fault that its check finds
}
