package authority

import (
	"testing"
	"time"
)

// TestNewSession checks the times of a session with each combination of lives.
func TestNewSession(t *testing.T) {
	const hour = int64(3600)
	now := time.Unix(1_795_500_000, 0)
	policy := Policy{TokenLife: time.Hour, IdleLife: 10 * time.Hour, SessionLife: 100 * time.Hour}.WithDefaults()
	tests := map[string]struct {
		life             time.Duration
		extras           *SessionExtras
		token, idle, end int64
	}{
		"policy":           {life: 100 * time.Hour, token: hour, idle: 10 * hour, end: 100 * hour},
		"shorter session":  {life: 2 * time.Hour, token: hour, idle: 2 * hour, end: 2 * hour},
		"shortest session": {life: time.Minute, token: 60, idle: 60, end: 60},
		"own lives": {
			life: 100 * time.Hour, extras: &SessionExtras{TokenLife: time.Minute, IdleLife: 2 * time.Hour},
			token: 60, idle: 2 * hour, end: 100 * hour,
		},
		"own token life": {
			life: 100 * time.Hour, extras: &SessionExtras{TokenLife: time.Minute}, token: 60, idle: 10 * hour,
			end: 100 * hour,
		},
		"own idle life": {
			life: 100 * time.Hour, extras: &SessionExtras{IdleLife: 5 * time.Minute}, token: 300, idle: 300,
			end: 100 * hour,
		},
		"only claims": {
			life: 100 * time.Hour, extras: &SessionExtras{Claims: "{}"}, token: hour, idle: 10 * hour, end: 100 * hour,
		},
	}
	for name, test := range tests {
		a := &Authority{policy: policy, clock: func() time.Time { return now }}
		s := a.newSession(7, Origin{IP: "192.0.2.1"}, test.life, 0, test.extras)
		token, idle := s.Expires-now.Unix(), s.Idle-now.Unix()
		if end := s.Ends - now.Unix(); token != test.token || idle != test.idle || end != test.end {
			t.Errorf("%s: the token lives %d s, the session %d s without a refresh and %d s in all; want %+v",
				name, token, idle, end, test)
		}
		at := now.Unix() + 1
		next := Rotation{From: 1, At: at, Lives: policy.lives()}.Apply(s)
		if next.Expires != min(at+test.token, s.Ends) || next.Idle != min(at+test.idle, s.Ends) {
			t.Errorf("%s: a rotation one second later leads to %+v", name, next)
		}
	}
}

// TestHashAddress checks which addresses count as one.
func TestHashAddress(t *testing.T) {
	for _, same := range [][2]string{
		{"192.0.2.1", "::ffff:192.0.2.1"}, {"2001:db8::1", "2001:db8::2"}, {"fe80::1%eth0", "fe80::1"}, {"", "unknown"},
	} {
		if hashAddress(same[0]) != hashAddress(same[1]) {
			t.Errorf("%q and %q have different hashes", same[0], same[1])
		}
	}
	for _, different := range [][2]string{
		{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8:0:1::1"}, {"192.0.2.1", ""}, {"::", ""},
	} {
		if hashAddress(different[0]) == hashAddress(different[1]) {
			t.Errorf("%q and %q have the same hash", different[0], different[1])
		}
	}
}
