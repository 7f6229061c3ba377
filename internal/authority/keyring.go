package authority

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/token"
)

// KeyringConfig is what OpenKeyring needs. Only Box may be nil: it keeps the
// keys that are made in clear.
type KeyringConfig struct {
	Store     SigningKeyStore
	Box       *seal.Box
	Algorithm token.Algorithm // of keys that are made
	Lead      int64           // seconds from a key's publication to its first token; longer than nodes take to reload
	TokenLife int64           // seconds
	Clock     func() time.Time
	Log       *slog.Logger
}

// Keyring is the signing keys as one node knows them. It follows the store: by
// Run, and when a token comes whose key it does not know. It is safe for
// concurrent use.
type Keyring struct {
	config KeyringConfig
	fixed  bool // the keys are a file's: there is no store to follow
	set    *token.KeySet

	mu    sync.Mutex // guards what is below; held while the store is read
	kept  []nodeKey  // newest first
	asked time.Time  // when learn last read the store, by the machine's clock
}

// nodeKey is a stored key, read; the key of a retired one is nil.
type nodeKey struct {
	SigningKey
	key *token.Key
}

// OpenKeyring reads the keys of the store. It makes one that signs at once if
// there is none, and one that signs after the lead if the newest has another
// algorithm than c says.
func OpenKeyring(ctx context.Context, c KeyringConfig) (*Keyring, error) {
	r := &Keyring{config: c, set: new(token.KeySet)}
	for try := 0; ; try++ {
		kept, err := r.read(ctx)
		if err != nil {
			return nil, err
		}
		newest := newestLive(kept)
		if newest != nil && newest.key.Algorithm() == c.Algorithm {
			return r, r.keep(ctx, kept)
		}
		if newest != nil && try > 0 {
			return nil, fmt.Errorf("the newest signing key is %s, not %s: another node uses another algorithm", newest.key.Algorithm(), c.Algorithm)
		}
		now := c.Clock().Unix()
		signs := now
		if newest != nil {
			signs += c.Lead
			c.Log.InfoContext(ctx, "a signing key of another algorithm is published", "algorithm", c.Algorithm, "signsFrom", wireTime(signs))
		}
		key, err := newSigningKey(c.Algorithm, c.Box, now, signs)
		if err == nil {
			err = c.Store.AddSigningKey(ctx, key, len(kept) == 0)
		}
		if err != nil {
			return nil, err
		}
	}
}

// FixedKeyring has keys that are in no store: the first signs. There must be one.
func FixedKeyring(keys []*token.Key) (*Keyring, error) {
	set, err := token.NewKeySet(keys...)
	if err != nil {
		return nil, err
	}
	r := &Keyring{fixed: true, set: set}
	for _, key := range keys {
		r.kept = append(r.kept, nodeKey{SigningKey{ID: key.ID()}, key})
	}
	return r, nil
}

// Set is the keys for a codec: the one that signs now first, all that verify.
func (r *Keyring) Set() *token.KeySet { return r.set }

// Live returns how many keys the node verifies with.
func (r *Keyring) Live() int { return len(r.set.Keys()) }

// Public returns the public parts of the keys that verify; HS256 keys have none.
func (r *Keyring) Public() []*token.Key {
	public := []*token.Key{}
	for _, key := range r.set.Keys() {
		if p := key.Public(); p != nil {
			public = append(public, p)
		}
	}
	return public
}

// Run follows the store until ctx ends. Without the store it still goes over to
// a key that was published, when its time comes.
func (r *Keyring) Run(ctx context.Context, every time.Duration) {
	if r.fixed {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := r.reload(ctx); err != nil && ctx.Err() == nil {
			r.config.Log.WarnContext(ctx, "signing keys not read", "err", err)
		}
	}
}

func (r *Keyring) reload(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reloadLocked(ctx)
}

func (r *Keyring) reloadLocked(ctx context.Context) error {
	kept, err := r.read(ctx)
	if err != nil {
		return errors.Join(err, r.keep(ctx, r.kept))
	}
	return r.keep(ctx, kept)
}

// learnEvery bounds what tokens of unknown keys cost the store: anyone can
// send them.
const learnEvery = time.Second

// learn reads the store for a token that no key of the node signed, and reports
// whether it is worth another look. A token that names a key of the node's own
// is a forgery; one of HS256 names none.
func (r *Keyring) learn(ctx context.Context, text string) bool {
	if r.fixed || r.set.Names(text) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.asked) < learnEvery {
		return true // who was before may have brought it
	}
	err := r.reloadLocked(ctx)
	r.asked = time.Now()
	if err != nil {
		r.config.Log.WarnContext(ctx, "signing keys not read", "err", err)
	}
	return err == nil
}

// read reads the store; keys that the node has are not parsed again.
func (r *Keyring) read(ctx context.Context) ([]nodeKey, error) {
	stored, err := r.config.Store.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	known := map[string]*token.Key{}
	for _, k := range r.kept {
		known[k.ID] = k.key
	}
	keys := make([]nodeKey, len(stored))
	for i, k := range stored {
		keys[i] = nodeKey{SigningKey: k}
		if k.Retired != 0 {
			continue
		}
		if keys[i].key = known[k.ID]; keys[i].key == nil {
			if keys[i].key, err = parseSigningKey(k, r.config.Box); err != nil {
				return nil, err
			}
		}
	}
	return keys, nil
}

func parseSigningKey(k SigningKey, box *seal.Box) (*token.Key, error) {
	k, err := OpenSigningKey(k, box)
	if err != nil {
		return nil, err
	}
	key, err := token.ParseJWK([]byte(k.JWK))
	if err != nil {
		return nil, fmt.Errorf("a signing key in the store is damaged: %w; restore the store from a backup", err)
	}
	return key, nil
}

var errNoSigningKey = errors.New("there is no signing key in the store: a start makes one")

// keep puts keys in force: the one that signs now goes first.
func (r *Keyring) keep(ctx context.Context, keys []nodeKey) error {
	signs := signing(keys, r.config.Clock().Unix())
	if signs < 0 {
		return errNoSigningKey // and the node keeps those that it has
	}
	if before := signing(r.kept, 0); before >= 0 && r.set.Keys()[0] != keys[signs].key {
		r.config.Log.InfoContext(ctx, "another key signs from now on", "key", keys[signs].ID)
	}
	r.kept = keys
	all := []*token.Key{keys[signs].key}
	for i, k := range keys {
		if k.key != nil && i != signs {
			all = append(all, k.key)
		}
	}
	return r.set.Replace(all...)
}
