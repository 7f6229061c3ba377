package authority

import "github.com/pawlauth/pawl/internal/authority/fault"

var (
	errCredentials  = &fault.Error{Kind: fault.InvalidCredentials, Message: "The login or the password is wrong; check both and try again."}
	errNoSession    = &fault.Error{Kind: fault.InvalidSession, Message: "No credentials were sent; sign in and send the token as a bearer, or send an API key."}
	errSession      = &fault.Error{Kind: fault.InvalidSession, Message: "The token is not valid any more; sign in again."}
	errAPIKey       = &fault.Error{Kind: fault.InvalidAPIKey, Message: "The API key is not valid; check that it is whole, or ask for a new one."}
	errKeyMissing   = &fault.Error{Kind: fault.InvalidAPIKey, Message: "This server wants an API key for a refresh; send it as X-API-Key."}
	errLevel        = &fault.Error{Kind: fault.AccessDenied, Message: "Your level does not reach for this; ask an administrator."}
	errPlace        = &fault.Error{Kind: fault.AccessDenied, Message: "The network or mailbox is not one that you administer; ask its administrator."}
	errOwnStatus    = &fault.Error{Kind: fault.AccessDenied, Message: "You cannot suspend or remove yourself; ask another administrator."}
	errUserNotFound = &fault.Error{Kind: fault.NotFound, Message: "There is no such user that you may see; check the userId."}
	errKeyNotFound  = &fault.Error{Kind: fault.NotFound, Message: "There is no such key that you may see; check the keyId."}
	errNoPrimaryKey = &fault.Error{Kind: fault.NotFound, Message: "The user has no primary key; make one with /v2/users/key-generate/{id}."}
	errGone         = &fault.Error{Kind: fault.NotFound, Message: "There is no such session that you may see; list the live ones with /v2/auth/sessions."}
	errManyKeys     = fault.Invalid("userId has 1000 keys, and that is as many as a user may have; remove one first.")
	errSessionKey   = fault.Invalid("visibility Session needs a caller with a bearer token, for a key of their own.")
)

// How a refresh is refused, for refreshOutcome. The answer is the same for all:
// a thief learns nothing from it.
var (
	errRace    = &fault.Error{Kind: fault.InvalidSession, Message: errSession.Message}
	errStolen  = &fault.Error{Kind: fault.InvalidSession, Message: errSession.Message}
	errExpired = &fault.Error{Kind: fault.InvalidSession, Message: errSession.Message}
	errEnded   = &fault.Error{Kind: fault.InvalidSession, Message: errSession.Message}
	errUnknown = &fault.Error{Kind: fault.InvalidSession, Message: errSession.Message}
)
