package authority

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// An API key is keyPrefix, 32 random bytes, and their CRC-32, in base64url: a
// scanner can find a leaked one, and a damaged one is known without the store.
const (
	keyPrefix  = "pawl_"
	secretSize = 32
)

// mostKeys is how many keys a user may have; many that are made at once may
// pass it by as many.
const mostKeys = 1000

func newKey() (text string, hash APIKeyHash) {
	raw := make([]byte, secretSize, secretSize+crc32.Size)
	rand.Read(raw) // never fails (crypto/rand)
	sum := crc32.ChecksumIEEE(raw)
	raw = append(raw, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
	text = keyPrefix + base64.RawURLEncoding.EncodeToString(raw)
	return text, sha256.Sum256([]byte(text))
}

// parseKey returns the hash of a key that is whole. The store is asked for the
// hash: that comparison tells an attacker nothing about the key.
func parseKey(text string) (APIKeyHash, bool) {
	body, ok := strings.CutPrefix(text, keyPrefix)
	if !ok || len(body) != base64.RawURLEncoding.EncodedLen(secretSize+crc32.Size) {
		return APIKeyHash{}, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || len(raw) != secretSize+crc32.Size {
		return APIKeyHash{}, false
	}
	sum := crc32.ChecksumIEEE(raw[:secretSize])
	if string(raw[secretSize:]) != string([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}) {
		return APIKeyHash{}, false
	}
	return sha256.Sum256([]byte(text)), true
}

func maskKey(text string) string { return text[:len(keyPrefix)+4] + "********" }

// ownerOf returns the user whose keys are meant, if the caller may handle them.
func (a *Authority) ownerOf(ctx context.Context, c Caller, userID int64) (*User, error) {
	if userID <= 0 {
		return nil, fault.Invalid("userId is missing; it is a positive integer.")
	}
	return a.changeable(ctx, c, userID, true)
}

// CreateAPIKey makes a key, and returns it with its text, which is shown only here.
func (a *Authority) CreateAPIKey(ctx context.Context, c Caller, userID int64, v Visibility) (APIKey, string, error) {
	owner, err := a.ownerOf(ctx, c, userID)
	if err != nil {
		return APIKey{}, "", err
	}
	switch keys, err := a.store.APIKeys(ctx, owner.ID); {
	case err != nil:
		return APIKey{}, "", fault.FromStore(err, nil)
	case len(keys) >= mostKeys:
		return APIKey{}, "", errManyKeys
	}
	k := APIKey{UserID: owner.ID, Visibility: v}
	if v == SessionOnly {
		if c.Session == nil || c.User.ID != owner.ID {
			return APIKey{}, "", errSessionKey
		}
		k.Session = c.Session.ID
	}
	return a.addKey(ctx, c, k)
}

// GeneratePrimaryAPIKey makes the user's primary key; the earlier one is dead.
func (a *Authority) GeneratePrimaryAPIKey(ctx context.Context, c Caller, userID int64) (string, error) {
	owner, err := a.ownerOf(ctx, c, userID)
	if err != nil {
		return "", err
	}
	_, text, err := a.addKey(ctx, c, APIKey{UserID: owner.ID, Visibility: Private, Primary: true})
	return text, err
}

func (a *Authority) addKey(ctx context.Context, c Caller, k APIKey) (APIKey, string, error) {
	text, hash := newKey()
	k.Mask, k.Created = maskKey(text), a.now()
	k, err := a.store.CreateAPIKey(ctx, k, hash)
	if err != nil {
		return APIKey{}, "", fault.FromStore(err, errUserNotFound)
	}
	a.audit.Record(ctx, c.did(audit.Event{Kind: audit.APIKeyCreated, User: k.UserID, Session: k.Session, Detail: fmt.Sprintf("key %d, %s", k.ID, k.Visibility)}))
	return k, text, nil
}

// hide makes what the caller may not handle as good as not there.
func hide(err error, notFound *fault.Error) error {
	if e, ok := errors.AsType[*fault.Error](err); ok && (e.Kind == fault.NotFound || e.Kind == fault.AccessDenied) {
		return notFound
	}
	return err
}

// APIKeys lists the keys of a user; a zero visibility matches all. The key of a
// session whose token is over stays among them until the session is swept.
func (a *Authority) APIKeys(ctx context.Context, c Caller, userID int64, v Visibility) ([]APIKey, error) {
	if _, err := a.ownerOf(ctx, c, userID); err != nil {
		return nil, err
	}
	all, err := a.store.APIKeys(ctx, userID)
	if err != nil {
		return nil, fault.FromStore(err, nil)
	}
	keys := []APIKey{}
	for _, k := range all {
		if v == 0 || k.Visibility == v {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// PrimaryAPIKey returns the record of the user's primary key.
func (a *Authority) PrimaryAPIKey(ctx context.Context, c Caller, userID int64) (APIKey, error) {
	keys, err := a.APIKeys(ctx, c, userID, 0)
	if err != nil {
		return APIKey{}, err
	}
	for _, k := range keys {
		if k.Primary {
			return k, nil
		}
	}
	return APIKey{}, errNoPrimaryKey
}

// DeleteAPIKey removes a key. One that the caller may not handle is as good as
// not there.
func (a *Authority) DeleteAPIKey(ctx context.Context, c Caller, keyID int64) error {
	if keyID <= 0 {
		return fault.Invalid("keyId is missing; it is a positive integer.")
	}
	k, err := a.store.APIKey(ctx, keyID)
	if err != nil {
		return fault.FromStore(err, errKeyNotFound)
	}
	if _, err := a.ownerOf(ctx, c, k.UserID); err != nil {
		return hide(err, errKeyNotFound)
	}
	err = fault.FromStore(a.store.DeleteAPIKey(ctx, keyID), errKeyNotFound)
	return a.done(ctx, err, c.did(audit.Event{Kind: audit.APIKeyRemoved, User: k.UserID, Detail: fmt.Sprintf("key %d", k.ID)}))
}

// Sessions lists the live sessions of a user; 0 means the caller.
func (a *Authority) Sessions(ctx context.Context, c Caller, userID int64) ([]SessionWithOrigin, error) {
	if userID == 0 {
		userID = c.User.ID
	}
	if _, err := a.visible(ctx, c, userID, true); err != nil {
		return nil, err
	}
	records, err := a.store.Sessions(ctx, userID, a.now())
	return records, fault.FromStore(err, nil)
}

// EndSession ends one session of the caller, or of a user whom the caller may
// change.
func (a *Authority) EndSession(ctx context.Context, c Caller, id token.SessionID) error {
	live, err := a.readSession(ctx, id)
	if err != nil {
		return fault.FromStore(err, errGone)
	}
	if a.now() >= live.Session.Expires {
		return errGone
	}
	if _, err := a.changeable(ctx, c, live.User.ID, true); err != nil {
		return hide(err, errGone)
	}
	err = fault.FromStore(a.endSession(ctx, id), nil)
	return a.done(ctx, err, c.did(audit.Event{Kind: audit.SessionEnded, User: live.User.ID, Session: id}))
}
