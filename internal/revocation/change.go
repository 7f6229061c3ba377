package revocation

import (
	"encoding/base64"
	"errors"
	"math"
	"strconv"

	"github.com/pawlauth/pawl/internal/token"
)

// Change is one entry of a revoked event: a change of a session or, if Session is zero, of a user.
type Change struct {
	// Session is the session whose tokens below Generation are superseded. If Generation is 0, the session has ended.
	Session    token.SessionID
	Generation uint32
	// UserID is the user whose tokens with an iat up to the second Before may have ended.
	UserID int64
	Before int64
}

// SessionRotated returns the change of a session that moved to a generation.
func SessionRotated(id token.SessionID, generation uint32) Change {
	return Change{Session: id, Generation: generation}
}

// SessionEnded returns the change of a session that ended.
func SessionEnded(id token.SessionID) Change { return Change{Session: id} }

// UserChanged returns the change of a user whose earlier tokens have ended.
func UserChanged(userID, second int64) Change { return Change{UserID: userID, Before: second} }

// maxChangeSize is the most bytes of a change and its comma: two numbers of 19 digits.
const maxChangeSize = 2*19 + 4

// AppendChanges appends changes as JSON: an array of ["sid", generation] and [userId, second].
func AppendChanges(b []byte, changes []Change) []byte {
	b = append(b, '[')
	for i, c := range changes {
		if i > 0 {
			b = append(b, ',')
		}
		if c.Session != (token.SessionID{}) {
			b = base64.RawURLEncoding.AppendEncode(append(b, `["`...), c.Session[:])
			b = strconv.AppendUint(append(b, `",`...), uint64(c.Generation), 10)
		} else {
			b = strconv.AppendInt(append(b, '['), c.UserID, 10)
			b = strconv.AppendInt(append(b, ','), c.Before, 10)
		}
		b = append(b, ']')
	}
	return append(b, ']')
}

var errChanges = errors.New("revocation: malformed changes")

// ParseChanges appends the changes of a JSON text to into. It accepts only the form of AppendChanges.
func ParseChanges(into []Change, text []byte) ([]Change, error) {
	s := scanner{text: text}
	s.expect('[')
	for first := true; !s.failed && !s.next(']'); first = false {
		if !first {
			s.expect(',')
		}
		into = append(into, s.change())
	}
	s.expect(']')
	if s.failed || len(s.text) > 0 {
		return nil, errChanges
	}
	return into, nil
}

// scanner reads the JSON of changes. After a failure, its results have no meaning.
type scanner struct {
	text   []byte // the rest
	failed bool
}

func (s *scanner) next(ch byte) bool { return len(s.text) > 0 && s.text[0] == ch }

func (s *scanner) expect(ch byte) {
	if s.failed = s.failed || !s.next(ch); !s.failed {
		s.text = s.text[1:]
	}
}

func (s *scanner) change() (c Change) {
	s.expect('[')
	if s.next('"') {
		c.Session = s.session()
		s.expect(',')
		c.Generation = uint32(s.number(math.MaxUint32))
	} else {
		c.UserID = s.number(math.MaxInt64)
		s.expect(',')
		c.Before = s.number(math.MaxInt64)
		s.failed = s.failed || c.UserID == 0
	}
	s.expect(']')
	return c
}

func (s *scanner) session() (id token.SessionID) {
	const length = 22 // of an id as text
	s.expect('"')
	if s.failed || len(s.text) < length {
		s.failed = true
		return id
	}
	id, ok := token.ParseSessionID(string(s.text[:length]))
	s.failed = !ok || id == token.SessionID{}
	s.text = s.text[length:]
	s.expect('"')
	return id
}

// number reads a number of digits without a leading zero.
func (s *scanner) number(limit int64) (n int64) {
	digits := 0
	for digits < len(s.text) && s.text[digits] >= '0' && s.text[digits] <= '9' {
		digit := int64(s.text[digits] - '0')
		if n > (limit-digit)/10 {
			s.failed = true
			return 0
		}
		n = 10*n + digit
		digits++
	}
	s.failed = s.failed || digits == 0 || digits > 1 && s.text[0] == '0'
	s.text = s.text[digits:]
	return n
}
