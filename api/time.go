package api

import (
	"fmt"
	"time"
)

// Time is a time.Time in the form of RFC 3339 in UTC with whole seconds on the wire, such as 2026-05-07T20:00:00Z.
//
// The zero Time is the zero time.Time: IsZero reports it, and it is 0001-01-01T00:00:00Z on the wire. A response with
// an optional time has a *Time instead. A nil *Time is null on the wire.
//
// Two Times from NewTime or from JSON are equal by == if they are the same second.
type Time struct{ time.Time }

// NewTime returns t in UTC, without the fraction of its second and without a monotonic clock reading.
func NewTime(t time.Time) Time { return Time{time.Unix(t.Unix(), 0).UTC()} }

// String returns the form on the wire.
func (t Time) String() string { return t.UTC().Format(time.RFC3339) }

// AppendText appends the form on the wire to b. The error is always nil.
func (t Time) AppendText(b []byte) ([]byte, error) { return t.UTC().AppendFormat(b, time.RFC3339), nil }

// MarshalText returns the form on the wire. The error is always nil.
func (t Time) MarshalText() ([]byte, error) { return t.AppendText(nil) }

// MarshalJSON returns the form on the wire as a JSON string. The error is always nil.
func (t Time) MarshalJSON() ([]byte, error) {
	b, _ := t.AppendText([]byte{'"'})
	return append(b, '"'), nil
}

// UnmarshalText reads any RFC 3339 time, as NewTime returns it. The error does not repeat more than b.
func (t *Time) UnmarshalText(b []byte) error {
	parsed, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return fmt.Errorf("api: %q is not an RFC 3339 time; write it as 2026-05-07T20:00:00Z", b)
	}
	*t = NewTime(parsed)
	return nil
}

// UnmarshalJSON reads a JSON string with any RFC 3339 time. JSON's null leaves t as it is.
func (t *Time) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return fmt.Errorf("api: %s is not a JSON string with an RFC 3339 time", b)
	}
	return t.UnmarshalText(b[1 : len(b)-1])
}
