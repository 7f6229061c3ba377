package authority

import (
	"context"
	"time"

	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/token"
)

// SigningKeys lists the signing keys, newest first. It is for Root.
func (a *Authority) SigningKeys(ctx context.Context, c Caller) ([]keyring.Info, error) {
	if c.User.Level != Root {
		return nil, errLevel
	}
	infos, err := a.keys.List(ctx)
	return infos, fault.FromStore(err, nil)
}

// RotateSigningKey publishes a new key, which signs after the lead. It is for Root.
func (a *Authority) RotateSigningKey(ctx context.Context, c Caller) (keyring.Info, error) {
	if c.User.Level != Root {
		return keyring.Info{}, errLevel
	}
	info, err := a.keys.Rotate(ctx)
	return info, a.done(ctx, fault.FromStore(err, nil), c.did(keyMade(info)))
}

func keyMade(k keyring.Info) audit.Event {
	return audit.Event{Kind: audit.SigningKeyCreated, Detail: "key " + k.ID + ", signs from " + keyring.FormatTime(k.SignsFrom)}
}

// RetireSigningKey ends the tokens of a key. Before the last of them is over it
// needs now, which is for a key that leaked: if it signs, a new key takes over
// at once. It is for Root.
func (a *Authority) RetireSigningKey(ctx context.Context, c Caller, id string, now bool) error {
	if c.User.Level != Root {
		return errLevel
	}
	if id == "" {
		return fault.Invalid("keyId is missing; list the keys with /v2/signing-keys/list.")
	}
	successor, err := a.keys.Retire(ctx, id, now)
	if successor.ID != "" { // it is there though the other could not be retired
		a.audit.Record(ctx, c.did(keyMade(successor)))
	}
	detail := "key " + id
	if now {
		detail += ", at once"
	}
	return a.done(ctx, fault.FromStore(err, keyring.ErrNotFound), c.did(audit.Event{Kind: audit.SigningKeyRetired, Detail: detail}))
}

// PublicKeys returns the keys that others may verify tokens with, and how long they may cache them.
func (a *Authority) PublicKeys(ctx context.Context) (keys []*token.Key, maxAge time.Duration) {
	_ = a.keys.Follow(ctx) // without the store, those that it has are better than none
	return a.keys.Public(), a.keys.MaxAge()
}
