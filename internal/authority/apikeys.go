package authority

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// An API key is apiKeyPrefix, then 32 random bytes and their CRC-32 in base64url. The prefix lets a scanner find a
// leaked key, and the checksum lets a damaged one be rejected without the store.
const (
	apiKeyPrefix = "pawl_"
	secretSize   = 32
)

// maxAPIKeys is how many API keys a user may have. Concurrent calls may exceed the limit, because each one counts the
// API keys before it adds its own.
const maxAPIKeys = 1000

func newAPIKey() (text string, hash APIKeyHash) {
	raw := make([]byte, secretSize, secretSize+crc32.Size)
	rand.Read(raw) // never fails (crypto/rand)
	raw = binary.BigEndian.AppendUint32(raw, crc32.ChecksumIEEE(raw))
	text = apiKeyPrefix + base64.RawURLEncoding.EncodeToString(raw)
	return text, sha256.Sum256([]byte(text))
}

// parseAPIKey returns the hash of a well-formed API key. The store looks up the hash, so that the time of the
// comparison reveals nothing about the key.
func parseAPIKey(text string) (APIKeyHash, bool) {
	body, ok := strings.CutPrefix(text, apiKeyPrefix)
	if !ok || len(body) != base64.RawURLEncoding.EncodedLen(secretSize+crc32.Size) {
		return APIKeyHash{}, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(raw) != secretSize+crc32.Size {
		return APIKeyHash{}, false
	}
	if binary.BigEndian.Uint32(raw[secretSize:]) != crc32.ChecksumIEEE(raw[:secretSize]) {
		return APIKeyHash{}, false
	}
	return sha256.Sum256([]byte(text)), true
}

func maskAPIKey(text string) string { return text[:len(apiKeyPrefix)+4] + "********" }

// apiKeyOwner returns the user with an ID, if the caller may manage the user's API keys.
func (a *Authority) apiKeyOwner(ctx context.Context, c Caller, userID int64) (*User, error) {
	if userID <= 0 {
		return nil, errUserIDMissing
	}
	return a.changeableUser(ctx, c, userID, true)
}

// NewAPIKey describes an API key to create. A zero Scope is FullScope. A zero MaxLevel of an OpenSessionsScope key is
// MailboxUser, or the level of the user if that is lower. If Expires is 0, the key does not expire.
type NewAPIKey struct {
	UserID     int64
	Visibility Visibility
	Scope      Scope
	MaxLevel   Level
	Name       string
	Expires    int64
}

// check checks the fields that do not depend on the user of the key.
func (n NewAPIKey) check(c Caller, now int64) error {
	switch {
	case n.MaxLevel != 0 && n.Scope != OpenSessionsScope:
		return fault.Invalid("maxLevel requires scope OpenSessions.")
	case n.Expires != 0 && n.Expires <= now:
		return fault.Invalid("expiresAt must be in the future.")
	case n.Visibility == SessionOnly && (c.Session == nil || c.User.ID != n.UserID):
		return errSessionAPIKey
	}
	return firstError(checkName("name", &n.Name))
}

// CreateAPIKey creates an API key. It returns the key's text. The text cannot be shown again.
func (a *Authority) CreateAPIKey(ctx context.Context, c Caller, n NewAPIKey) (key APIKey, text string, err error) {
	if err := n.check(c, a.now()); err != nil {
		return APIKey{}, "", err
	}
	key = APIKey{
		UserID: n.UserID, Visibility: n.Visibility, Scope: cmp.Or(n.Scope, FullScope), MaxLevel: n.MaxLevel,
		Name: n.Name, Expires: n.Expires,
	}
	if n.Visibility == SessionOnly {
		key.Session = c.Session.ID
	}
	return a.addAPIKey(ctx, c, key)
}

// GeneratePrimaryAPIKey creates the user's primary API key, and revokes the earlier one.
func (a *Authority) GeneratePrimaryAPIKey(ctx context.Context, c Caller, userID int64) (string, error) {
	_, text, err := a.addAPIKey(ctx, c, APIKey{
		UserID: userID, Visibility: Private, Primary: true, Scope: FullScope,
	})
	return text, err
}

// addAPIKey adds an API key. The key never has more rights than the caller: its user is one that the caller may change,
// it does not outlive the caller's own API key, and it opens no sessions of users above its user.
func (a *Authority) addAPIKey(ctx context.Context, c Caller, key APIKey) (APIKey, string, error) {
	switch {
	case c.sessionOnlyKey:
		return APIKey{}, "", errSessionAPIKeyCreates
	case c.keyExpires != 0 && (key.Expires == 0 || key.Expires > c.keyExpires):
		return APIKey{}, "", errAPIKeyOutlives
	}
	text, hash := newAPIKey()
	key.Mask = maskAPIKey(text)
	key.Created = a.now()
	key, err := asCaller(ctx, a, c, func(c Caller) (APIKey, error) {
		owner, err := a.apiKeyOwner(ctx, c, key.UserID)
		if err != nil {
			return APIKey{}, err
		}
		keys, err := a.store.APIKeys(ctx, owner.ID)
		switch {
		case err != nil:
			return APIKey{}, fault.FromStore(err, nil)
		case len(keys) >= maxAPIKeys && !key.Primary:
			return APIKey{}, errTooManyAPIKeys
		}
		key := key // the write may run again with another owner
		if key.Scope == OpenSessionsScope {
			if key.MaxLevel, err = maxLevelOf(key, owner); err != nil {
				return APIKey{}, err
			}
		}
		created, err := a.store.CreateAPIKey(ctx, c.rightsOn(owner), key, hash)
		return created, fault.FromStore(err, errUserNotFound)
	})
	if err != nil {
		return APIKey{}, "", err
	}
	a.audit.Record(ctx, c.event(audit.Event{
		Kind: audit.APIKeyCreated, User: key.UserID, Session: key.Session,
		Detail: fmt.Sprintf("key %d, %s, %s", key.ID, key.Visibility, key.Scope),
	}))
	return key, text, nil
}

// maxLevelOf returns the MaxLevel of a new OpenSessionsScope key.
func maxLevelOf(key APIKey, owner *User) (Level, error) {
	level := cmp.Or(key.MaxLevel, max(MailboxUser, owner.Level))
	switch {
	case !owner.IsAdmin():
		return 0, errOpenSessionsOwner
	case level < owner.Level:
		return 0, errMaxLevel
	}
	return level, nil
}

// APIKeys returns the API keys of a user. A zero visibility matches all. A SessionOnly key stays in the list until its
// expired session is swept.
func (a *Authority) APIKeys(ctx context.Context, c Caller, userID int64, v Visibility) ([]APIKey, error) {
	if _, err := a.apiKeyOwner(ctx, c, userID); err != nil {
		return nil, err
	}
	all, err := a.store.APIKeys(ctx, userID)
	if err != nil {
		return nil, fault.FromStore(err, nil)
	}
	keys := []APIKey{}
	for _, key := range all {
		if (v == 0 || key.Visibility == v) && !key.expired(a.now()) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// PrimaryAPIKey returns the user's primary API key, without its text.
func (a *Authority) PrimaryAPIKey(ctx context.Context, c Caller, userID int64) (APIKey, error) {
	keys, err := a.APIKeys(ctx, c, userID, 0)
	if err != nil {
		return APIKey{}, err
	}
	for _, key := range keys {
		if key.Primary {
			return key, nil
		}
	}
	return APIKey{}, errNoPrimaryAPIKey
}

// DeleteAPIKey removes an API key.
func (a *Authority) DeleteAPIKey(ctx context.Context, c Caller, keyID int64) error {
	if keyID <= 0 {
		return fault.Invalid("keyId is missing; send a positive integer.")
	}
	key, err := a.store.APIKey(ctx, keyID)
	if err != nil {
		return fault.FromStore(err, errAPIKeyNotFound)
	}
	_, err = asCaller(ctx, a, c, func(c Caller) (struct{}, error) {
		owner, err := a.apiKeyOwner(ctx, c, key.UserID)
		if err != nil {
			return struct{}{}, hide(err, errAPIKeyNotFound)
		}
		return struct{}{}, fault.FromStore(a.store.DeleteAPIKey(ctx, c.rightsOn(owner), keyID), errAPIKeyNotFound)
	})
	return a.recordIfDone(ctx, err, c.event(audit.Event{
		Kind: audit.APIKeyRemoved, User: key.UserID, Detail: fmt.Sprintf("key %d", key.ID),
	}))
}

// hide turns access-denied into not-found, so that callers cannot probe for API keys and sessions of others.
func hide(err error, notFound *fault.Error) error {
	e, ok := errors.AsType[*fault.Error](err)
	if ok && (e.Kind == fault.NotFound || e.Kind == fault.AccessDenied) {
		return notFound
	}
	return err
}
