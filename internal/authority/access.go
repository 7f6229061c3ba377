package authority

// Scope is what an API key may be used for.
type Scope uint8

// The scopes. The zero Scope may be used for nothing.
const (
	FullScope         Scope = iota + 1 // acts as its user
	VerifyScope                        // checks tokens
	OpenSessionsScope                  // opens sessions
)

var scopeNames = []string{"", "Full", "Verify", "OpenSessions"}

// String returns the scope's name.
func (s Scope) String() string { return nameOf(scopeNames, int(s)) }

// ParseScope returns the scope with a name. The error names the field.
func ParseScope(field, name string) (Scope, error) {
	i, err := parse(field, name, scopeNames)
	return Scope(i), err
}

// Access names the callers that a call is open to, besides users with a bearer and users with an API key of FullScope.
// A call without an Access is closed to API keys of a narrow scope, and to sessions with an actor.
type Access uint8

// The callers that a call can be opened to.
const (
	VerifyKeys       Access = 1 << iota // API keys of VerifyScope
	OpenSessionsKeys                    // API keys of OpenSessionsScope
	ActorSessions                       // sessions with an actor (SessionExtras.ActorID)

	// Strict closes the call to tokens that pass only by a stale copy of their session, or by Policy.BearerGrace. A
	// verifier that follows the feed of revocations keeps the answer for the life of the token.
	Strict
)

// check returns nil if the call is open to both credentials of the caller: the API key and the session.
func (a Access) check(c Caller) error {
	if c.Session.ActorID() != 0 && a&ActorSessions == 0 {
		return errActorSession
	}
	if c.APIKeyID != 0 && !a.OpenTo(c.scope) {
		return errScope
	}
	return nil
}

// OpenTo reports whether the call is open to API keys of a scope.
func (a Access) OpenTo(s Scope) bool {
	return s == FullScope ||
		s == VerifyScope && a&VerifyKeys != 0 ||
		s == OpenSessionsScope && a&OpenSessionsKeys != 0
}
