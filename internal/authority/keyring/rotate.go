package keyring

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// State is the stage of a signing key's life.
type State string

// The states of a signing key, in the order of its life.
const (
	Published State = "Published" // verifiers have the key; it does not sign yet
	Signing   State = "Signing"
	Verifying State = "Verifying" // tokens of the key are valid until they expire
	Retired   State = "Retired"   // tokens of the key are rejected
)

// Info describes a signing key, without the key. Points in time are Unix seconds, or 0 if there is none.
type Info struct {
	ID          string
	Algorithm   token.Algorithm // "" if the key is retired
	State       State
	PublishedAt int64
	SignsFrom   int64
	RetirableAt int64 // when the last of its tokens has expired; 0 if no other key replaces it
	RetiredAt   int64
}

// maxSigningKeys limits the number of keys, because a token of HS256 names no key and is tried with each of them.
const maxSigningKeys = 8

var (
	errNotFound = fault.New(fault.NotFound,
		"Signing key not found, or retired already; list the keys with /v2/signing-keys/list.")
	errTooManyKeys = fault.Invalid(fmt.Sprintf(
		"There are %d signing keys, the maximum; first retire those whose tokens have expired.", maxSigningKeys))
)

// List returns all keys, newest first.
func (r *Keyring) List(ctx context.Context) ([]Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.reload(ctx); err != nil {
		return nil, err
	}
	infos := make([]Info, len(r.keys))
	for i := range r.keys {
		infos[i] = r.info(i)
	}
	return infos, nil
}

// info describes key i; r.mu is held.
func (r *Keyring) info(i int) Info {
	k := r.keys[i]
	info := Info{
		ID: k.ID, State: Retired, PublishedAt: k.PublishedAt, SignsFrom: k.SignsFrom, RetiredAt: k.RetiredAt,
	}
	if k.key == nil {
		return info
	}
	info.Algorithm = k.key.Algorithm()
	// Another node may sign with the key for up to a lead after it is replaced.
	if at := replacedAt(r.keys, i); at != 0 {
		info.RetirableAt = at + seconds(r.config.TokenLife+r.config.Lead)
	}
	switch {
	case k.key == r.set.Keys()[0]:
		info.State = Signing
	case k.SignsFrom > r.config.Clock().Unix():
		info.State = Published
	default:
		info.State = Verifying
	}
	return info
}

// Rotate publishes a new key. The key signs after the lead.
func (r *Keyring) Rotate(ctx context.Context, store Store) (Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.reload(ctx); err != nil {
		return Info{}, err
	}
	if len(r.set.Keys()) >= maxSigningKeys {
		return Info{}, errTooManyKeys
	}
	now := r.config.Clock().Unix()
	if newest := newestActive(r.keys); newest.SignsFrom > now {
		return Info{}, fault.Invalid("A new key is published already, and signs from " +
			FormatTime(newest.SignsFrom) + "; rotate again after that.")
	}
	return r.add(ctx, store, now, now+seconds(r.config.Lead))
}

// add adds a new key to the store and the node; r.mu is held, and the keys are current. If two nodes add a key at the
// same time, there are two new keys, which is harmless.
func (r *Keyring) add(ctx context.Context, store Store, publishedAt, signsFrom int64) (Info, error) {
	added, err := newSigningKey(r.config.Algorithm, r.config.Box, publishedAt, signsFrom)
	if err == nil {
		err = store.AddSigningKey(ctx, added.SigningKey, false)
	}
	if err == nil {
		err = r.use(ctx, slices.Insert(slices.Clone(r.keys), 0, added), r.readAt)
	}
	if err != nil {
		return Info{}, err
	}
	return r.info(0), nil
}

// Retire ends the tokens of a key. With force it does so even if tokens of the key have not expired. If the key signs,
// Retire first creates a successor. Retire returns the successor even if a later step fails.
func (r *Keyring) Retire(ctx context.Context, store Store, id string, force bool) (successor Info, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.reload(ctx); err != nil {
		return Info{}, err
	}
	i := slices.IndexFunc(r.keys, func(k nodeKey) bool { return k.ID == id && k.key != nil })
	if i < 0 {
		return Info{}, errNotFound
	}
	info := r.info(i)
	now := r.config.Clock().Unix()
	switch {
	case !force:
		err = mayRetire(info, now)
	case info.State == Signing:
		// The successor signs from a lead ago, so that it also signs on a node whose clock is behind. Such a node
		// would otherwise sign with an older key, which may be retirable.
		successor, err = r.add(ctx, store, now, max(info.SignsFrom, now-seconds(r.config.Lead)))
	}
	if err != nil {
		return successor, err
	}
	if err := store.RetireSigningKey(ctx, id, now); err != nil {
		if errors.Is(err, fault.ErrNotFound) { // another node retired the key, or all others
			return successor, errNotFound
		}
		return successor, err
	}
	keys := slices.Clone(r.keys)
	i = slices.IndexFunc(keys, func(k nodeKey) bool { return k.ID == id }) // add has moved it
	keys[i].JWK, keys[i].key = "", nil
	keys[i].RetiredAt = now
	return successor, r.use(ctx, keys, r.readAt)
}

// mayRetire returns nil if a key can be retired without force.
func mayRetire(k Info, now int64) error {
	switch {
	case k.State == Published:
		return fault.Invalid("The key does not sign yet; send now: true to retire it nevertheless.")
	case k.State == Signing:
		return fault.Invalid("The key signs; rotate first, and retire it when its tokens have expired. " +
			"If it has leaked, send now: true.")
	case now < k.RetirableAt:
		return fault.Invalid("Tokens of the key are valid until " + FormatTime(k.RetirableAt) +
			"; retire it after that. If it has leaked, send now: true, which ends them.")
	}
	return nil
}
