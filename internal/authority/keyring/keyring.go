package keyring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/token"
)

// Config is what OpenKeyring needs. Only Box may be nil: it keeps the
// keys that are made in clear.
type Config struct {
	Store     Store
	Box       *seal.Box
	Algorithm token.Algorithm // of keys that are made
	Lead      time.Duration   // from a key's publication to its first token, in whole seconds
	Reload    time.Duration   // how often Run reads the store; at most half the lead
	TokenLife time.Duration   // of the tokens that the keys sign, in whole seconds
	Clock     func() time.Time
	Log       *slog.Logger
}

// Defaults of a Config.
const (
	DefaultLead   = 5 * time.Minute
	DefaultReload = 30 * time.Second
)

// Keyring is the signing keys as one node knows them. It follows the store: by
// Run, when a token comes whose key it does not know, and before it uses keys
// that it has not read for long. It is safe for concurrent use.
type Keyring struct {
	config Config
	fixed  bool // the keys are a file's: there is no store to follow
	set    *token.KeySet
	until  atomic.Int64 // when the keys want another look: Unix seconds

	mu     sync.Mutex // guards what is below; held while the store is read
	kept   []nodeKey  // newest first
	seen   int64      // when kept was read: Unix seconds
	asked  time.Time  // when the store was last asked, by the machine's clock
	failed error      // what came of that
}

// nodeKey is a stored key, read; the key of a retired one is nil.
type nodeKey struct {
	SigningKey
	key *token.Key
}

// Open reads the keys of the store. It makes one that signs at once if
// there is none, and one that signs after the lead if the newest has another
// algorithm than c says.
func Open(ctx context.Context, c Config) (*Keyring, error) {
	r := &Keyring{config: c, set: new(token.KeySet)}
	for try := 0; ; try++ {
		now := c.Clock().Unix()
		kept, err := r.read(ctx)
		if err != nil {
			return nil, err
		}
		newest := newestLive(kept)
		if newest != nil && newest.key.Algorithm() == c.Algorithm {
			return r, r.keep(ctx, kept, now)
		}
		if newest != nil && try > 0 {
			return nil, fmt.Errorf("the newest signing key is %s, not %s: another node uses another algorithm", newest.key.Algorithm(), c.Algorithm)
		}
		if live(kept) >= maxSigningKeys {
			return nil, fmt.Errorf("the newest signing key is %s, not %s, and there are %d keys: start with --algorithm %s and retire those whose tokens are over",
				newest.key.Algorithm(), c.Algorithm, maxSigningKeys, newest.key.Algorithm())
		}
		signs := now
		if newest != nil {
			signs += seconds(c.Lead)
			c.Log.InfoContext(ctx, "a signing key of another algorithm is published", "algorithm", c.Algorithm, "signsFrom", FormatTime(signs))
		}
		made, err := newSigningKey(c.Algorithm, c.Box, now, signs)
		if err == nil {
			err = c.Store.AddSigningKey(ctx, made.SigningKey, len(kept) == 0)
		}
		if err != nil {
			return nil, err
		}
	}
}

// Fixed has keys that are in no store: the first signs. There must be one.
func Fixed(keys []*token.Key) (*Keyring, error) {
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

// Count returns how many keys the node verifies with.
func (r *Keyring) Count() int { return len(r.set.Keys()) }

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

// MaxAge returns how long a verifier may cache the public keys: half the lead, so that it has a new key before that key
// signs.
func (r *Keyring) MaxAge() time.Duration { return max(r.config.Lead/2, 30*time.Second) }

// seconds converts a duration to the unit of points in time.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// Run follows the store until ctx ends. Without the store it still goes over to
// a key that was published, when its time comes.
func (r *Keyring) Run(ctx context.Context) {
	if r.fixed {
		return
	}
	timer := time.NewTimer(r.config.Reload)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		wait := r.config.Reload
		if r.reload(ctx) != nil { // the log has it
			wait = min(wait, askEvery)
		}
		timer.Reset(wait)
	}
}

func (r *Keyring) reload(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reloadLocked(ctx)
}

func (r *Keyring) reloadLocked(ctx context.Context) error {
	now := r.config.Clock().Unix()
	kept, err := r.read(ctx)
	if err != nil {
		err = errors.Join(err, r.keep(ctx, r.kept, r.seen))
	} else {
		err = r.keep(ctx, kept, now)
	}
	first := r.failed == nil
	r.asked, r.failed = time.Now(), err
	if first && err != nil && !errors.Is(err, context.Canceled) {
		r.config.Log.WarnContext(ctx, "signing keys not read", "err", err)
	}
	return err
}

// Follow reads the store if Run missed its turn, as on a machine that slept, or if
// the time of another key has come: what a node signs with a key that is
// retired meanwhile is lost. The error is ErrUnavailable.
func (r *Keyring) Follow(ctx context.Context) error {
	if r.fixed || r.current() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current() { // who was before has read it
		return nil
	}
	if r.failed == nil || time.Since(r.asked) >= retryEvery {
		_ = r.reloadLocked(ctx)
	}
	if r.current() {
		return nil
	}
	return away(r.failed)
}

func (r *Keyring) current() bool { return r.config.Clock().Unix() < r.until.Load() }

// away is err if the store could not be reached. With one that is there, but
// has a key that cannot be read, a node goes on with the keys that it has.
func away(err error) error {
	if errors.Is(err, fault.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

const (
	// askEvery bounds what tokens of unknown keys, which anyone can send, cost
	// the store.
	askEvery = time.Second
	// retryEvery is how often a store that was away is tried by those who wait
	// for its keys: they are served that soon after it is back.
	retryEvery = askEvery / 10
)

// Learn reads the store for a token that no key of the node signed, and reports
// whether it is worth another look. A token that names a key of the node's own
// is a forgery; one of HS256 names none. The error is ErrUnavailable: nobody
// can say whose the token is.
func (r *Keyring) Learn(ctx context.Context, text string) (again bool, err error) {
	if r.fixed || r.set.HasKeyOf(text) {
		return false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.asked) >= askEvery { // else who was before may have brought it
		_ = r.reloadLocked(ctx)
	}
	return r.failed == nil, away(r.failed)
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
		if k.RetiredAt != 0 {
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
	k, err := Unseal(k, box)
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

// keep puts keys in force that were read then: the one that signs now goes first.
func (r *Keyring) keep(ctx context.Context, keys []nodeKey, then int64) error {
	now := r.config.Clock().Unix()
	signs := signing(keys, now)
	if signs < 0 {
		return errNoSigningKey // and the node keeps those that it has
	}
	if len(r.kept) > 0 && r.set.Keys()[0] != keys[signs].key {
		r.config.Log.InfoContext(ctx, "another key signs from now on", "key", keys[signs].ID)
	}
	all := []*token.Key{keys[signs].key}
	for i, k := range keys {
		if k.key != nil && i != signs {
			all = append(all, k.key)
		}
	}
	late := int64((2*r.config.Reload + time.Second - 1) / time.Second)
	r.kept, r.seen = keys, then
	r.until.Store(min(then+late, nextSigns(keys, now)))
	return r.set.Replace(all...)
}
