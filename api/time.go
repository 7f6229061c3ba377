package api

import (
	"fmt"
	"time"
)

// Time is a point in time in whole Unix seconds. On the wire it is RFC 3339 in
// UTC with a Z: 2026-05-07T20:00:00Z.
type Time int64

const layout = time.RFC3339 // which ends in Z for UTC

// At converts t, dropping what is below a second.
func At(t time.Time) Time { return Time(t.Unix()) }

// Time converts back to a time.Time in UTC.
func (t Time) Time() time.Time { return time.Unix(int64(t), 0).UTC() }

// String gives the wire form.
func (t Time) String() string { return t.Time().Format(layout) }

// AppendText appends the wire form to b.
func (t Time) AppendText(b []byte) ([]byte, error) { return t.Time().AppendFormat(b, layout), nil }

// MarshalText gives the wire form.
func (t Time) MarshalText() ([]byte, error) { return t.AppendText(nil) }

// UnmarshalText reads any RFC 3339 time.
func (t *Time) UnmarshalText(b []byte) error {
	parsed, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return fmt.Errorf("api: %q is not an RFC 3339 time", b)
	}
	*t = At(parsed)
	return nil
}
