package token

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"strconv"
)

// SessionID identifies a session: 16 random bytes. Its text is base64url without padding, 22 characters.
type SessionID [16]byte

const sessionIDLength = 22

// String returns the text of the id.
func (id SessionID) String() string { return encoding.EncodeToString(id[:]) }

// MarshalText returns the text of the id.
func (id SessionID) MarshalText() ([]byte, error) { return encoding.AppendEncode(nil, id[:]), nil }

// GoString returns the first four bytes in hex, to keep test output short.
func (id SessionID) GoString() string { return hex.EncodeToString(id[:4]) }

// ParseSessionID parses the text of an id. It accepts the canonical form only.
func ParseSessionID(text string) (SessionID, bool) {
	if len(text) != sessionIDLength {
		return SessionID{}, false
	}
	var id SessionID
	n, err := encoding.Decode(id[:], []byte(text))
	return id, err == nil && n == len(id)
}

// Claims is the content of a token.
type Claims struct {
	Subject    int64     // "sub": the user's id, in the token as a decimal string
	IssuedAt   int64     // "iat": Unix seconds
	Expires    int64     // "exp": Unix seconds; the token has expired from this second on
	Session    SessionID // "sid", and the first half of "jti"
	Generation uint32    // the second half of "jti"; the first generation is 1
	AuthLevel  string    // letters only
	NetworkID  int64
	MailboxID  int64

	// Most tokens have none of the following claims.
	ExternalID string // "externalId": the user's id in another system
	ActorID    int64  // "act": the id of the user who acts for the subject (RFC 8693, 4.1)
	Cookie     bool   // "cookie": the session was opened by a browser that keeps its token in a cookie
	Extra      string // "ext": a JSON object, see CanonicalExtra
}

// ID returns the token's jti.
func (c Claims) ID() string {
	return c.Session.String() + "." + strconv.FormatUint(uint64(c.Generation), 10)
}

func claimsPrefix(issuer, audience string) string {
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	return `{"iss":` + quote(issuer) + `,"aud":` + quote(audience)
}

var errClaims = errors.New("token: claims out of range")

// appendClaims appends the JSON of c to b, in the only form accepted by parseClaims.
func appendClaims(b []byte, prefix string, c Claims) ([]byte, error) {
	if c.Subject <= 0 || c.IssuedAt < 0 || c.Expires < 0 || c.Generation == 0 ||
		c.NetworkID < 0 || c.MailboxID < 0 || !letters([]byte(c.AuthLevel)) {
		return nil, errClaims
	}
	b = append(b, prefix...)
	b = append(b, `,"sub":"`...)
	b = strconv.AppendInt(b, c.Subject, 10)
	b = append(b, `","iat":`...)
	b = strconv.AppendInt(b, c.IssuedAt, 10)
	b = append(b, `,"exp":`...)
	b = strconv.AppendInt(b, c.Expires, 10)
	b = append(b, `,"jti":"`...)
	b = encoding.AppendEncode(b, c.Session[:])
	b = append(b, '.')
	b = strconv.AppendUint(b, uint64(c.Generation), 10)
	b = append(b, `","sid":"`...)
	b = encoding.AppendEncode(b, c.Session[:])
	b = append(b, `","authLevel":"`...)
	b = append(b, c.AuthLevel...)
	b = append(b, `","networkId":`...)
	b = strconv.AppendInt(b, c.NetworkID, 10)
	b = append(b, `,"mailboxId":`...)
	b = strconv.AppendInt(b, c.MailboxID, 10)
	if c.ExternalID != "" || c.ActorID != 0 || c.Cookie || c.Extra != "" {
		var ok bool
		if b, ok = appendOptional(b, &c); !ok {
			return nil, errClaims
		}
	}
	return append(b, '}'), nil
}

// parseClaims parses the output of appendClaims with the same prefix. It rejects every other form of the same JSON:
// another order, white space, leading zeros.
func parseClaims(b []byte, prefix string) (Claims, bool) {
	var c Claims
	p := reader{rest: b, ok: true}
	p.skip(prefix)
	p.skip(`,"sub":"`)
	c.Subject = p.number(math.MaxInt64)
	p.skip(`","iat":`)
	c.IssuedAt = p.number(math.MaxInt64)
	p.skip(`,"exp":`)
	c.Expires = p.number(math.MaxInt64)
	p.skip(`,"jti":"`)
	jti := p.sessionID()
	p.skip(`.`)
	c.Generation = uint32(p.number(math.MaxUint32))
	p.skip(`","sid":"`)
	c.Session = p.sessionID()
	p.skip(`","authLevel":"`)
	c.AuthLevel = p.word()
	p.skip(`","networkId":`)
	c.NetworkID = p.number(math.MaxInt64)
	p.skip(`,"mailboxId":`)
	c.MailboxID = p.number(math.MaxInt64)
	if len(p.rest) > 1 {
		p.optional(&c)
	}
	p.skip(`}`)
	ok := p.ok && len(p.rest) == 0 && jti == c.Session && c.Generation > 0 && c.Subject > 0
	return c, ok
}

// reader parses a text from left to right. The first mismatch sets ok to false permanently.
type reader struct {
	rest []byte
	ok   bool
}

func (p *reader) skip(text string) {
	if !p.ok || len(p.rest) < len(text) || string(p.rest[:len(text)]) != text {
		p.ok = false
		return
	}
	p.rest = p.rest[len(text):]
}

func (p *reader) number(limit uint64) int64 {
	var n uint64
	i := 0
	for ; i < len(p.rest) && '0' <= p.rest[i] && p.rest[i] <= '9'; i++ {
		digit := uint64(p.rest[i] - '0')
		if n > (limit-digit)/10 {
			p.ok = false
			return 0
		}
		n = n*10 + digit
	}
	if i == 0 || (i > 1 && p.rest[0] == '0') {
		p.ok = false
	}
	p.rest = p.rest[i:]
	return int64(n)
}

func (p *reader) sessionID() SessionID {
	var id SessionID
	if !p.ok || len(p.rest) < sessionIDLength {
		p.ok = false
		return id
	}
	n, err := encoding.Decode(id[:], p.rest[:sessionIDLength])
	p.ok = err == nil && n == len(id)
	p.rest = p.rest[sessionIDLength:]
	return id
}

func (p *reader) word() string {
	end := bytes.IndexByte(p.rest, '"')
	if !p.ok || end < 0 || !letters(p.rest[:end]) {
		p.ok = false
		return ""
	}
	word := string(p.rest[:end])
	p.rest = p.rest[end:]
	return word
}

// letters reports whether b consists of one or more ASCII letters. Letters need no escape in JSON.
func letters(b []byte) bool {
	for _, ch := range b {
		if (ch|0x20) < 'a' || (ch|0x20) > 'z' {
			return false
		}
	}
	return len(b) > 0
}
