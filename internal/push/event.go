package push

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/token"
)

// The types of events: that of OpenID CAEP 1.0, 3.1, and that of a test (OpenID Shared Signals Framework 1.0, 8.1.4.1).
const (
	sessionRevoked = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
	verification   = "https://schemas.openid.net/secevent/ssf/event-type/verification"
)

// claims are the claims of a security event token (RFC 8417, 2.2). It has no exp and no sub, as the framework requires.
type claims struct {
	Issuer   string             `json:"iss"`
	Audience string             `json:"aud"`
	IssuedAt int64              `json:"iat"`
	ID       string             `json:"jti"`
	Subject  subject            `json:"sub_id"`
	Events   map[string]payload `json:"events"`
}

// subject identifies what an event is about (RFC 9493; Shared Signals Framework 1.0, 3.2).
type subject struct {
	Format  string   `json:"format"`
	Issuer  string   `json:"iss,omitempty"`
	Sub     string   `json:"sub,omitempty"`
	ID      string   `json:"id,omitempty"`
	User    *subject `json:"user,omitempty"`
	Session *subject `json:"session,omitempty"`
}

// payload has the members of an event.
type payload struct {
	At          int64             `json:"event_timestamp,omitempty"`
	Initiator   string            `json:"initiating_entity,omitempty"`
	ReasonAdmin map[string]string `json:"reason_admin,omitempty"`
	// KeptSession is the one session of the user that has not ended. It is no member of CAEP.
	KeptSession string `json:"pawl_kept_session,omitempty"`
	State       string `json:"state,omitempty"` // of a verification
}

// Revokes reports whether an event of the audit ends a session, or all sessions of a user, before they expire.
func Revokes(e *audit.Event) bool {
	switch e.Kind {
	case audit.Logout, audit.Theft, audit.SessionsReset:
		return true
	case audit.SessionEnded:
		timedOut := []string{authority.EndedByIdle.String(), authority.EndedByEnd.String()}
		return !slices.Contains(timedOut, e.Detail)
	case audit.StatusChanged:
		status, err := authority.ParseStatus("", e.Detail)
		return err == nil && !status.MaySignIn()
	}
	return false
}

// revocation returns the claims for an event. They depend on the event and the receiver alone, so that a repeated
// delivery has the same jti.
func revocation(issuer string, r *authority.Receiver, e *audit.Event) claims {
	about := subject{Format: "iss_sub", Issuer: issuer, Sub: strconv.FormatInt(e.User, 10)}
	event := payload{At: e.At, Initiator: initiator(e), ReasonAdmin: map[string]string{"en": reason(e)}}
	switch {
	case e.Session == token.SessionID{}:
	case e.Kind == audit.SessionsReset:
		event.KeptSession = e.Session.String()
	default:
		user := about
		about = subject{Format: "complex", Session: &subject{Format: "opaque", ID: e.Session.String()}}
		if e.User != 0 {
			about.User = &user
		}
	}
	return claims{
		Issuer: issuer, Audience: r.Audience, IssuedAt: e.At, ID: tokenID(r, e), Subject: about,
		Events: map[string]payload{sessionRevoked: event},
	}
}

// tokenID returns the jti for an event. The hash has more than the id of the event, because a store that is restored
// from a backup assigns the same ids to other events.
func tokenID(r *authority.Receiver, e *audit.Event) string {
	text, _ := json.Marshal([]any{r.ID, e.ID, e.At, e.Kind, e.User, e.Session.String(), e.Request}) // never fails
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// initiator returns who caused an event, by the names of CAEP 1.0, 2.
func initiator(e *audit.Event) string {
	switch {
	case e.Kind == audit.Theft || e.Kind == audit.SessionEnded && e.Detail == authority.EndedByCap.String():
		return "policy"
	case e.Caller == 0:
		return "system"
	case e.Caller == e.User:
		return "user"
	}
	return "admin"
}

// reason describes an event for an administrator of the receiver.
func reason(e *audit.Event) string {
	text := map[audit.Kind]string{
		audit.Logout:        "sign-out",
		audit.Theft:         "a superseded token was used, so it was taken for stolen",
		audit.SessionEnded:  "the session was ended",
		audit.SessionsReset: "the sessions of the user were ended",
		audit.StatusChanged: "the status of the user changed",
	}[e.Kind]
	if e.Detail != "" && e.Kind != audit.Theft {
		text = fmt.Sprintf("%s: %s", text, e.Detail)
	}
	return text
}
