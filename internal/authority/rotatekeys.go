package authority

import (
	"context"
	"fmt"
	"slices"

	"github.com/pawlauth/pawl/token"
)

// KeyState is what a signing key does now.
type KeyState string

// The states of a signing key, in the order of its life.
const (
	KeyPublished KeyState = "Published" // known to verifiers; signs later
	KeySigning   KeyState = "Signing"
	KeyVerifying KeyState = "Verifying" // its tokens are good until they are over
	KeyRetired   KeyState = "Retired"   // none of its tokens is good
)

// SigningKeyInfo is what may be told of a signing key. Times are Unix seconds;
// 0 is "not known", or "not yet".
type SigningKeyInfo struct {
	ID        string
	Algorithm token.Algorithm // "" of a retired key
	State     KeyState
	Published int64
	Signs     int64
	RetirableAt      int64 // when the last of its tokens is over, and it may be retired; 0 if no other key follows it
	Retired   int64
}

// maxSigningKeys bounds how many keys a token of HS256, which names none, is
// tried with.
const maxSigningKeys = 8

var (
	errSigningKeyNotFound = &Error{Kind: KindNotFound, Message: "There is no such signing key that is not retired yet; list them with /v2/signing-keys/list."}
	errKeysInFile         = invalid("The signing keys are in the file of --signing-key-file; put the new key into it, first when it is to sign, and start again.")
	errTooManyKeys        = invalid(fmt.Sprintf("There are %d signing keys; retire those whose tokens are over first.", maxSigningKeys))
)

// SigningKeys lists the signing keys, newest first. It is for Root.
func (a *Authority) SigningKeys(ctx context.Context, c Caller) ([]SigningKeyInfo, error) {
	if c.User.Level != Root {
		return nil, errLevel
	}
	infos, err := a.keys.list(ctx)
	return infos, storeError(err, nil)
}

// RotateSigningKey publishes a new key, which signs after the lead. It is for Root.
func (a *Authority) RotateSigningKey(ctx context.Context, c Caller) (SigningKeyInfo, error) {
	if c.User.Level != Root {
		return SigningKeyInfo{}, errLevel
	}
	info, err := a.keys.rotate(ctx)
	return info, a.done(ctx, storeError(err, nil), keyMade(info).by(c))
}

func keyMade(k SigningKeyInfo) Event {
	return Event{Kind: EventSigningKeyMade, Detail: "key " + k.ID + ", signs from " + wireTime(k.Signs)}
}

// RetireSigningKey ends the tokens of a key. Before the last of them is over it
// needs now, which is for a key that leaked: if it signs, a new key takes over
// at once. It is for Root.
func (a *Authority) RetireSigningKey(ctx context.Context, c Caller, id string, now bool) error {
	if c.User.Level != Root {
		return errLevel
	}
	if id == "" {
		return invalid("keyId is missing; list the keys with /v2/signing-keys/list.")
	}
	successor, err := a.keys.retire(ctx, id, now)
	if successor.ID != "" { // it is there though the other could not be retired
		a.record(ctx, keyMade(successor).by(c))
	}
	detail := "key " + id
	if now {
		detail += ", at once"
	}
	return a.done(ctx, storeError(err, errSigningKeyNotFound), Event{Kind: EventSigningKeyRetired, Detail: detail}.by(c))
}

// verify reads a token. One of a key that this node does not know yet may be of
// a key that another node made. The error is the codec's, or ErrUnavailable.
func (a *Authority) verify(ctx context.Context, text string) (token.Claims, error) {
	if err := a.keys.follow(ctx); err != nil {
		return token.Claims{}, err
	}
	claims, err := a.codec.Verify(text, a.clock())
	if err != token.ErrInvalid {
		return claims, err
	}
	again, err := a.keys.learn(ctx, text)
	if err != nil {
		return token.Claims{}, err
	}
	if !again {
		return token.Claims{}, token.ErrInvalid
	}
	return a.codec.Verify(text, a.clock())
}

// tokenError is the answer to an error of verify; bad is that to a token that
// is not good.
func tokenError(err, bad error) error {
	switch err {
	case token.ErrForm, token.ErrInvalid, token.ErrExpired:
		return bad
	}
	return storeError(err, nil)
}

// PublicKeys returns the keys that others may verify tokens with, and for how
// many seconds they may keep them: short of the lead, so that they have a new
// key before it signs.
func (a *Authority) PublicKeys(ctx context.Context) (keys []*token.Key, maxAge int64) {
	_ = a.keys.follow(ctx) // without the store, those that it has are better than none
	return a.keys.Public(), max(a.keys.config.Lead/2, 30)
}

func (r *Keyring) list(ctx context.Context) ([]SigningKeyInfo, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.fixed {
		if err := r.reloadLocked(ctx); err != nil {
			return nil, err
		}
	}
	infos := make([]SigningKeyInfo, len(r.kept))
	for i := range r.kept {
		infos[i] = r.info(i)
	}
	return infos, nil
}

// info describes a key; the lock is held.
func (r *Keyring) info(i int) SigningKeyInfo {
	k := r.kept[i]
	info := SigningKeyInfo{ID: k.ID, State: KeyRetired, Published: k.Published, Signs: k.Signs, Retired: k.Retired}
	if k.key == nil {
		return info
	}
	info.Algorithm, info.RetirableAt, info.State = k.key.Algorithm(), r.retirableAt(i), KeyVerifying
	switch {
	case k.key == r.set.Keys()[0]:
		info.State = KeySigning
	case !r.fixed && k.Signs > r.config.Clock().Unix():
		info.State = KeyPublished
	}
	return info
}

// retirableAt is when the last token of a key is retirableAt: a token's life after another
// took retirableAt, and the lead once more for nodes that were late to hear of it.
func (r *Keyring) retirableAt(i int) int64 {
	if at := replaced(r.kept, i); at != 0 {
		return at + r.config.TokenLife + r.config.Lead
	}
	return 0
}

func (r *Keyring) rotate(ctx context.Context) (SigningKeyInfo, error) {
	if r.fixed {
		return SigningKeyInfo{}, errKeysInFile
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.reloadLocked(ctx); err != nil {
		return SigningKeyInfo{}, err
	}
	if len(r.set.Keys()) >= maxSigningKeys {
		return SigningKeyInfo{}, errTooManyKeys
	}
	now := r.config.Clock().Unix()
	if newest := newestLive(r.kept); newest.Signs > now {
		return SigningKeyInfo{}, invalid("A new key is published already, and signs from " + wireTime(newest.Signs) + "; rotate again after that.")
	}
	return r.add(ctx, now, now+r.config.Lead)
}

// add makes a key; the lock is held, and the keys are as the store has them.
// Two nodes that do so at once make two, which is no harm.
func (r *Keyring) add(ctx context.Context, now, signs int64) (SigningKeyInfo, error) {
	made, err := newSigningKey(r.config.Algorithm, r.config.Box, now, signs)
	if err == nil {
		err = r.config.Store.AddSigningKey(ctx, made.SigningKey, false)
	}
	if err == nil {
		err = r.keep(ctx, slices.Insert(slices.Clone(r.kept), 0, made), r.seen)
	}
	if err != nil {
		return SigningKeyInfo{}, err
	}
	return r.info(0), nil
}

// retire returns the key that takes over, if one was made for that.
func (r *Keyring) retire(ctx context.Context, id string, force bool) (successor SigningKeyInfo, err error) {
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
	case info.State == KeySigning:
		// It signs from a lead ago, and so on a node too whose clock is behind:
		// that would go back to an older key, which may be over.
		successor, err = r.add(ctx, now, max(info.Signs, now-r.config.Lead))
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
			kept[i] = nodeKey{SigningKey: SigningKey{ID: id, Published: k.Published, Signs: k.Signs, Retired: at}}
		}
	}
	return r.keep(ctx, kept, r.seen)
}

// find returns a key that is not retired; the lock is held.
func (r *Keyring) find(id string) (SigningKeyInfo, error) {
	for i, k := range r.kept {
		if k.ID == id && k.key != nil {
			return r.info(i), nil
		}
	}
	return SigningKeyInfo{}, errSigningKeyNotFound
}

func mayRetire(k SigningKeyInfo, now int64) error {
	switch {
	case k.State == KeyPublished:
		return invalid("The key does not sign yet; send now: true to give it up.")
	case k.State == KeySigning:
		return invalid("The key signs; rotate first, and retire it when its tokens are over. If it has leaked, send now: true.")
	case now < k.RetirableAt:
		return invalid("Tokens of the key are good until " + wireTime(k.RetirableAt) + "; retire it then. If it has leaked, send now: true, which ends them.")
	}
	return nil
}
