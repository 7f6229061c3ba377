package keyring

import (
	"context"
	"fmt"
	"slices"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// State is what a signing key does now.
type State string

// The states of a signing key, in the order of its life.
const (
	Published State = "Published" // known to verifiers; signs later
	Signing   State = "Signing"
	Verifying State = "Verifying" // its tokens are good until they are over
	Retired   State = "Retired"   // none of its tokens is good
)

// Info is what may be told of a signing key. Times are Unix seconds;
// 0 is "not known", or "not yet".
type Info struct {
	ID          string
	Algorithm   token.Algorithm // "" of a retired key
	State       State
	PublishedAt int64
	SignsFrom   int64
	RetirableAt int64 // when the last of its tokens is over, and it may be retired; 0 if no other key follows it
	RetiredAt   int64
}

// maxSigningKeys bounds how many keys a token of HS256, which names none, is
// tried with.
const maxSigningKeys = 8

var (
	ErrNotFound    = &fault.Error{Kind: fault.NotFound, Message: "There is no such signing key that is not retired yet; list them with /v2/signing-keys/list."}
	errKeysInFile  = fault.Invalid("The signing keys are in the file of --signing-key-file; put the new key into it, first when it is to sign, and start again.")
	errTooManyKeys = fault.Invalid(fmt.Sprintf("There are %d signing keys; retire those whose tokens are over first.", maxSigningKeys))
)

func (r *Keyring) List(ctx context.Context) ([]Info, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.fixed {
		if err := r.reloadLocked(ctx); err != nil {
			return nil, err
		}
	}
	infos := make([]Info, len(r.kept))
	for i := range r.kept {
		infos[i] = r.info(i)
	}
	return infos, nil
}

// info describes a key; the lock is held.
func (r *Keyring) info(i int) Info {
	k := r.kept[i]
	info := Info{ID: k.ID, State: Retired, PublishedAt: k.PublishedAt, SignsFrom: k.SignsFrom, RetiredAt: k.RetiredAt}
	if k.key == nil {
		return info
	}
	info.Algorithm, info.RetirableAt, info.State = k.key.Algorithm(), r.retirableAt(i), Verifying
	switch {
	case k.key == r.set.Keys()[0]:
		info.State = Signing
	case !r.fixed && k.SignsFrom > r.config.Clock().Unix():
		info.State = Published
	}
	return info
}

// retirableAt is when the last token of a key is retirableAt: a token's life after another
// took retirableAt, and the lead once more for nodes that were late to hear of it.
func (r *Keyring) retirableAt(i int) int64 {
	if at := replaced(r.kept, i); at != 0 {
		return at + seconds(r.config.TokenLife+r.config.Lead)
	}
	return 0
}

func (r *Keyring) Rotate(ctx context.Context) (Info, error) {
	if r.fixed {
		return Info{}, errKeysInFile
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.reloadLocked(ctx); err != nil {
		return Info{}, err
	}
	if len(r.set.Keys()) >= maxSigningKeys {
		return Info{}, errTooManyKeys
	}
	now := r.config.Clock().Unix()
	if newest := newestLive(r.kept); newest.SignsFrom > now {
		return Info{}, fault.Invalid("A new key is published already, and signs from " + FormatTime(newest.SignsFrom) + "; rotate again after that.")
	}
	return r.add(ctx, now, now+seconds(r.config.Lead))
}

// add makes a key; the lock is held, and the keys are as the store has them.
// Two nodes that do so at once make two, which is no harm.
func (r *Keyring) add(ctx context.Context, now, signs int64) (Info, error) {
	made, err := newSigningKey(r.config.Algorithm, r.config.Box, now, signs)
	if err == nil {
		err = r.config.Store.AddSigningKey(ctx, made.SigningKey, false)
	}
	if err == nil {
		err = r.keep(ctx, slices.Insert(slices.Clone(r.kept), 0, made), r.seen)
	}
	if err != nil {
		return Info{}, err
	}
	return r.info(0), nil
}

// Retire returns the key that takes over, if one was made for that.
func (r *Keyring) Retire(ctx context.Context, id string, force bool) (successor Info, err error) {
	if r.fixed {
		return successor, errKeysInFile
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.reloadLocked(ctx); err != nil {
		return successor, err
	}
	info, err := r.find(id)
	if err != nil {
		return successor, err
	}
	now := r.config.Clock().Unix()
	switch {
	case !force:
		err = mayRetire(info, now)
	case info.State == Signing:
		// It signs from a lead ago, and so on a node too whose clock is behind:
		// that would go back to an older key, which may be over.
		successor, err = r.add(ctx, now, max(info.SignsFrom, now-seconds(r.config.Lead)))
	}
	if err == nil {
		err = r.config.Store.RetireSigningKey(ctx, id, now)
	}
	if err == nil {
		err = r.drop(ctx, id, now)
	}
	return successor, err
}

// drop forgets a key as the store has done.
func (r *Keyring) drop(ctx context.Context, id string, at int64) error {
	kept := slices.Clone(r.kept)
	for i, k := range kept {
		if k.ID == id {
			kept[i] = nodeKey{SigningKey: SigningKey{ID: id, PublishedAt: k.PublishedAt, SignsFrom: k.SignsFrom, RetiredAt: at}}
		}
	}
	return r.keep(ctx, kept, r.seen)
}

// find returns a key that is not retired; the lock is held.
func (r *Keyring) find(id string) (Info, error) {
	for i, k := range r.kept {
		if k.ID == id && k.key != nil {
			return r.info(i), nil
		}
	}
	return Info{}, ErrNotFound
}

func mayRetire(k Info, now int64) error {
	switch {
	case k.State == Published:
		return fault.Invalid("The key does not sign yet; send now: true to give it up.")
	case k.State == Signing:
		return fault.Invalid("The key signs; rotate first, and retire it when its tokens are over. If it has leaked, send now: true.")
	case now < k.RetirableAt:
		return fault.Invalid("Tokens of the key are good until " + FormatTime(k.RetirableAt) + "; retire it then. If it has leaked, send now: true, which ends them.")
	}
	return nil
}
