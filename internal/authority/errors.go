package authority

import (
	"errors"
	"fmt"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

// These are the errors returned by several methods. Each message states what failed, then what to do.
var (
	errCredentials = fault.New(fault.InvalidCredentials,
		"The login or the password is wrong; check both and try again.")
	errNoCredentials = fault.New(fault.InvalidSession,
		"No credentials were sent; sign in and send the token as a bearer, or send an API key.")
	errSession = fault.New(fault.InvalidSession,
		"The token is not valid any more; sign in again.")
	// errSessionEnded has the message of errSession, so that a thief cannot tell them apart.
	errSessionEnded = fault.New(fault.InvalidSession, errSession.Message)

	errAPIKey = fault.New(fault.InvalidAPIKey,
		"The API key is not valid; check that it is whole, or ask for a new one.")
	errAPIKeyMissing = fault.New(fault.InvalidAPIKey,
		"This server requires an API key for a refresh; send it as X-API-Key.")

	errLevel = fault.New(fault.AccessDenied,
		"Your level does not allow this; ask an administrator.")
	errTenant = fault.New(fault.AccessDenied,
		"You do not administer this network or mailbox; ask its administrator.")
	errScope = fault.New(fault.AccessDenied,
		"The scope of the API key does not allow this; use an API key of scope Full.")
	errUserAbove = fault.New(fault.AccessDenied,
		"The user is above your level; ask an administrator.")
	errAboveMaxLevel = fault.New(fault.AccessDenied,
		"The user is above the maxLevel of the API key; use another API key.")
	errUserSuspended = fault.New(fault.AccessDenied,
		"The user may not sign in; set the status to Active first.")
	errSessionActor = fault.New(fault.AccessDenied,
		"actorId must be another user who may sign in and administers this user, and is not above you or your API key.")
	errActorSession = fault.New(fault.AccessDenied,
		"A session with an actor cannot do this; sign in as the actor.")
	errExternalIDReserved = fault.New(fault.AccessDenied,
		"The externalId is that of a trusted issuer; choose another, or ask an administrator of every network.")
	errIssuerTenant = fault.New(fault.AccessDenied,
		"The user is not in the network or mailbox of the trusted issuer; ask an administrator.")
	errOwnStatus = fault.New(fault.AccessDenied,
		"You cannot suspend or remove yourself; ask another administrator.")
	errOwnPassword = fault.New(fault.AccessDenied,
		"You cannot set your own password here; use PUT /v2/auth/password.")
	errLastRoot = fault.New(fault.AccessDenied,
		"This user is the last active Root; make another user Root first.")
	errSessionAPIKeyOpens = fault.New(fault.AccessDenied,
		"A Session API key cannot open a session; use the session that it belongs to.")
	errSessionAPIKeyCreates = fault.New(fault.AccessDenied,
		"A Session API key cannot create API keys; send the bearer token instead.")
	errAPIKeyOutlives = fault.New(fault.AccessDenied,
		"expiresAt must not be later than that of the API key in the request.")
	errMaxLevel = fault.New(fault.AccessDenied,
		"maxLevel is above the level of the user; choose a lower one.")
	errTokenOwner = fault.New(fault.AccessDenied,
		"The token belongs to a user whose sessions you may not end; ask an administrator.")

	errNoUserToOpen = fault.New(fault.NotFound,
		"User not found; check userId, login or externalId, or send user to create one.")
	errUserNotFound = fault.New(fault.NotFound,
		"User not found; check the userId.")
	errAPIKeyNotFound = fault.New(fault.NotFound,
		"API key not found; check the keyId.")
	errNoPrimaryAPIKey = fault.New(fault.NotFound,
		"The user has no primary API key; create one with /v2/users/key-generate/{id}.")
	errSessionNotFound = fault.New(fault.NotFound,
		"Session not found; list the sessions with /v2/auth/sessions.")

	errReceiverNotFound = fault.New(fault.NotFound,
		"Receiver not found; list the receivers with /v2/receivers/list.")
	errReceiverTaken = fault.New(fault.Duplicate,
		"The url has a receiver already; remove that one first.")
	errReceiversMax = fault.Invalid(fmt.Sprintf("url would be of more than %d receivers; remove one first.",
		maxReceivers))

	errUserIDMissing  = fault.Invalid("userId is missing; send a positive integer.")
	errTooManyAPIKeys = fault.Invalid(fmt.Sprintf(
		"userId has %d API keys, the maximum; remove one first.", maxAPIKeys))
	errOpenSessionsOwner = fault.Invalid(
		"scope OpenSessions requires a user who is an administrator; choose another user or scope.")
	errSessionAPIKey = fault.Invalid(
		"visibility Session requires the user's own bearer token; send it, or choose another visibility.")
)

// SessionEnded reports whether an error means that the session of a token has ended. For a superseded or forged token,
// SessionEnded returns false.
func SessionEnded(err error) bool { return errors.Is(err, errSessionEnded) }
