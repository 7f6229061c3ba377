package api_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/pawlauth/pawl/api"
)

// TestTimeOnTheWire checks that a Time is written in UTC with whole seconds, from any zone and with any fraction.
func TestTimeOnTheWire(t *testing.T) {
	zone := time.FixedZone("", 2*60*60)
	tests := map[string]struct {
		time api.Time
		want string
	}{
		"of NewTime":   {api.NewTime(time.Date(2026, 5, 7, 22, 0, 0, 999_999_999, zone)), "2026-05-07T20:00:00Z"},
		"of a literal": {api.Time{Time: time.Date(2026, 5, 7, 22, 0, 0, 999_999_999, zone)}, "2026-05-07T20:00:00Z"},
		"before 1970":  {api.NewTime(time.Date(1969, 12, 31, 23, 59, 58, 1, time.UTC)), "1969-12-31T23:59:58Z"},
		"zero":         {api.Time{}, "0001-01-01T00:00:00Z"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text, err := json.Marshal(map[string]any{"at": test.time, "same": &test.time})
			if want := `{"at":"` + test.want + `","same":"` + test.want + `"}`; err != nil || string(text) != want {
				t.Errorf("JSON is %s, %v, want %s", text, err, want)
			}
			if text, err := test.time.MarshalText(); err != nil || string(text) != test.want {
				t.Errorf("text is %s, %v, want %s", text, err, test.want)
			}
			if test.time.String() != test.want {
				t.Errorf("String is %s, want %s", test.time, test.want)
			}
		})
	}
}

// TestTimeFromTheWire checks that any RFC 3339 time is read, and that equal seconds are equal by ==.
func TestTimeFromTheWire(t *testing.T) {
	want := api.NewTime(time.Date(2026, 5, 7, 20, 0, 0, 0, time.UTC))
	for _, text := range []string{"2026-05-07T20:00:00Z", "2026-05-07T22:00:00+02:00", "2026-05-07T20:00:00.5Z"} {
		var got api.Time
		if err := json.Unmarshal([]byte(`"`+text+`"`), &got); err != nil || got != want {
			t.Errorf("%s is read as %v, %v, want %v", text, got, err, want)
		}
		var session struct{ At *api.Time }
		if err := json.Unmarshal([]byte(`{"at":"`+text+`"}`), &session); err != nil || *session.At != want {
			t.Errorf("%s is read as %v, %v, want %v", text, session.At, err, want)
		}
	}
	for _, bad := range []string{`"2026-05-07"`, `"2026-05-07T20:00:00"`, `""`, `1795500000`, `true`, `{}`, `"`} {
		got := want
		if err := json.Unmarshal([]byte(bad), &got); err == nil || got != want {
			t.Errorf("%s is read as %v", bad, got)
		}
	}
}

// TestTimeNull checks that null is a nil *Time in both directions, and does not change a Time.
func TestTimeNull(t *testing.T) {
	text, err := json.Marshal(api.Session{})
	var session api.Session
	if err != nil || json.Unmarshal(text, &session) != nil || session.LastRefreshed != nil {
		t.Errorf("LastRefreshed is %v in %s, %v, want nil", session.LastRefreshed, text, err)
	}
	at := api.NewTime(time.Unix(1, 0))
	if err := json.Unmarshal([]byte("null"), &at); err != nil || at.Unix() != 1 {
		t.Errorf("null is read as %v, %v, want no change", at, err)
	}
}
