package api

// Level is the level of a user: its rights, and the authLevel of its tokens.
type Level string

// The levels, from the highest to the lowest. LevelNoChange is a level only in a RoleRequest.
const (
	LevelRoot         Level = "Root"         // administers every network, and alone rotates signing keys
	LevelTechOps      Level = "TechOps"      // administers every network
	LevelNetOps       Level = "NetOps"       // administers every network
	LevelNetworkAdmin Level = "NetworkAdmin" // administers its own network
	LevelNetworkUser  Level = "NetworkUser"
	LevelMailboxAdmin Level = "MailboxAdmin" // administers its own mailbox
	LevelMailboxUser  Level = "MailboxUser"  // the default of a new user
	LevelTPUser       Level = "TPUser"       // the vendor's level for a trading partner
	LevelGeneral      Level = "General"

	LevelNoChange Level = "NoChange" // keeps the level of the user
)

// Status is the status of a user.
type Status string

// The statuses. The first three have the same rights; their names come from the vendor's API.
const (
	StatusDevelopment   Status = "Development"
	StatusActive        Status = "Active"
	StatusPreproduction Status = "Preproduction"
	StatusSuspended     Status = "Suspended"  // cannot sign in, refresh, or use an API key; StatusActive undoes it
	StatusTerminated    Status = "Terminated" // the same, permanently
)

// User is a user in a response.
type User struct {
	UserID     int64  `json:"userId"`
	Login      string `json:"login"`
	Email      string `json:"email"`     // may be empty
	FirstName  string `json:"firstName"` // may be empty
	LastName   string `json:"lastName"`  // may be empty
	NetworkID  int64  `json:"networkId"`
	MailboxID  int64  `json:"mailboxId"`
	AuthLevel  Level  `json:"authLevel"`
	Status     Status `json:"status"`
	Created    Time   `json:"created"`
	ExternalID string `json:"externalId,omitzero"` // the id in another system; absent if there is none
}

// CreateUserRequest is the body of POST /v2/users. Only the login is required.
type CreateUserRequest struct {
	Login      string `json:"login,omitzero"`
	LoginName  string `json:"loginName,omitzero"`  // the login, under the vendor's other name
	Password   string `json:"password,omitzero"`   // without one, the user cannot sign in with a password
	ExternalID string `json:"externalId,omitzero"` // the id in another system; unique, at most 128 characters
	Email      string `json:"email,omitzero"`
	FirstName  string `json:"firstName,omitzero"`
	LastName   string `json:"lastName,omitzero"`
	NetworkID  *int64 `json:"networkId,omitzero"` // nil or 0 is the caller's network
	MailboxID  *int64 `json:"mailboxId,omitzero"` // nil or 0 is the caller's mailbox
	AuthLevel  Level  `json:"authLevel,omitzero"` // empty is LevelMailboxUser
}

// ListUsersRequest is the body of POST /v2/users/list. A nil, zero or empty filter matches all users that the caller
// administers.
type ListUsersRequest struct {
	NetworkID      *int64 `json:"networkId,omitzero"`
	MailboxID      *int64 `json:"mailboxId,omitzero"`
	Search         string `json:"search,omitzero"` // a prefix of the login, email, external id or names
	AuthLevel      Level  `json:"authLevel,omitzero"`
	Status         Status `json:"status,omitzero"`
	PageNo         *int64 `json:"pageNo,omitzero"`         // from 1; nil is 1
	RecordsPerPage *int64 `json:"recordsPerPage,omitzero"` // at most 500; nil is 25
}

// UserByNameRequest is the body of POST /v2/users/by-name. It has a login or an external id.
type UserByNameRequest struct {
	Login      string `json:"login,omitzero"`
	LoginName  string `json:"loginName,omitzero"` // the login, under the vendor's other name
	ExternalID string `json:"externalId,omitzero"`
}

// UpdateUserRequest is the body of PUT /v2/users. A nil field keeps its value.
type UpdateUserRequest struct {
	UserID     int64   `json:"userId"`
	Email      *string `json:"email,omitzero"`
	FirstName  *string `json:"firstName,omitzero"`
	LastName   *string `json:"lastName,omitzero"`
	ExternalID *string `json:"externalId,omitzero"` // empty removes it; for administrators
	Status     *Status `json:"status,omitzero"`     // StatusActive or StatusSuspended; for administrators
}

// RoleRequest is the body of POST /v2/users/role. A NetworkID or MailboxID that is nil or 0 keeps its value.
type RoleRequest struct {
	UserID    int64  `json:"userId"`
	AuthLevel Level  `json:"authLevel"` // LevelNoChange keeps the level
	NetworkID *int64 `json:"networkId,omitzero"`
	MailboxID *int64 `json:"mailboxId,omitzero"`
}

// TenantRequest is the body of POST /v2/users/set-network-mailbox. A NetworkID or MailboxID that is nil or 0 keeps its
// value.
type TenantRequest struct {
	UserID    int64  `json:"userId"`
	NetworkID *int64 `json:"networkId,omitzero"`
	MailboxID *int64 `json:"mailboxId,omitzero"`
}

// SetPasswordRequest is the body of POST /v2/users/password.
type SetPasswordRequest struct {
	UserID         int64  `json:"userId"`
	NewPassword    string `json:"newPassword"`
	RevokeSessions bool   `json:"revokeSessions,omitzero"` // ends every session of the user
}

// GeneratePasswordRequest is the body of POST /v2/users/generate-password.
type GeneratePasswordRequest struct {
	Length *int64 `json:"length,omitzero"` // in characters, from 8 to 128; nil is 12
}
