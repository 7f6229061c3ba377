package api

// User is a user as the contract shows it.
type User struct {
	UserID    int64  `json:"userId"`
	Login     string `json:"login"`
	Email     string `json:"email"`
	FirstName string `json:"firstName"`
	LastName  string `json:"lastName"`
	NetworkID int64  `json:"networkId"`
	MailboxID int64  `json:"mailboxId"`
	AuthLevel string `json:"authLevel"`
	Status    string `json:"status"`
	Created   Time   `json:"created"`
}

// CreateUserRequest is the body of POST /v2/users. A nil place means the
// caller's; an empty level means MailboxUser.
type CreateUserRequest struct {
	Login     string `json:"login"`
	Password  string `json:"password"`
	Email     string `json:"email"`
	FirstName string `json:"firstName,omitzero"`
	LastName  string `json:"lastName,omitzero"`
	NetworkID *int64 `json:"networkId,omitzero"`
	MailboxID *int64 `json:"mailboxId,omitzero"`
	AuthLevel string `json:"authLevel,omitzero"`
}

// ListUsersRequest is the body of POST /v2/users/list. Nil and empty filters
// match all; a nil PageNo means 1 and a nil RecordsPerPage means 25.
type ListUsersRequest struct {
	NetworkID      *int64 `json:"networkId,omitzero"`
	MailboxID      *int64 `json:"mailboxId,omitzero"`
	AuthLevel      string `json:"authLevel,omitzero"`
	Status         string `json:"status,omitzero"`
	PageNo         *int64 `json:"pageNo,omitzero"`
	RecordsPerPage *int64 `json:"recordsPerPage,omitzero"`
}

// UserByNameRequest is the body of POST /v2/users/by-name.
type UserByNameRequest struct {
	Login string `json:"login"`
}

// UpdateUserRequest is the body of PUT /v2/users; nil fields stay as they are.
type UpdateUserRequest struct {
	UserID    int64   `json:"userId"`
	Email     *string `json:"email,omitzero"`
	FirstName *string `json:"firstName,omitzero"`
	LastName  *string `json:"lastName,omitzero"`
	Status    *string `json:"status,omitzero"`
}

// RoleRequest is the body of POST /v2/users/role. The level NoChange keeps the
// level; nil places stay as they are.
type RoleRequest struct {
	UserID    int64  `json:"userId"`
	AuthLevel string `json:"authLevel"`
	NetworkID *int64 `json:"networkId,omitzero"`
	MailboxID *int64 `json:"mailboxId,omitzero"`
}

// TenantRequest is the body of POST /v2/users/set-network-mailbox; nil fields
// stay as they are.
type TenantRequest struct {
	UserID    int64  `json:"userId"`
	NetworkID *int64 `json:"networkId,omitzero"`
	MailboxID *int64 `json:"mailboxId,omitzero"`
}

// SetPasswordRequest is the body of POST /v2/users/password.
type SetPasswordRequest struct {
	UserID      int64  `json:"userId"`
	NewPassword string `json:"newPassword"`
}

// GeneratePasswordRequest is the body of POST /v2/users/generate-password; a
// nil length means 12 characters.
type GeneratePasswordRequest struct {
	Length *int64 `json:"length,omitzero"`
}

// CreateAPIKeyRequest is the body of POST /v2/keys/create.
type CreateAPIKeyRequest struct {
	UserID     int64  `json:"userId"`
	Visibility string `json:"visibility"`
}

// ListAPIKeysRequest is the body of POST /v2/keys/list; an empty visibility
// matches all.
type ListAPIKeysRequest struct {
	UserID     int64  `json:"userId"`
	Visibility string `json:"visibility,omitzero"`
}

// GetAPIKeyRequest is the body of POST /v2/keys/get-key.
type GetAPIKeyRequest struct {
	UserID int64 `json:"userId"`
}

// DeleteAPIKeyRequest is the body of DELETE /v2/keys.
type DeleteAPIKeyRequest struct {
	KeyID int64 `json:"keyId"`
}

// APIKey is an API key. APIKey holds the key itself in the answer to its making, and
// a mask everywhere else.
type APIKey struct {
	KeyID      int64  `json:"keyId"`
	UserID     int64  `json:"userId"`
	Key        string `json:"key"`
	Visibility string `json:"visibility"`
	Created    Time   `json:"created"`
}
