// Package keyring has the signing keys.
//
// A key is published first, signs from the lead on, then verifies until its last token has expired, and is retired
// (schedule.go). The keys are in a Store, sealed with the master key (seal.go). Each node has a Keyring. The Keyring
// follows the store: it reads the keys regularly, for a token of an unknown key, and when its keys may be stale. A
// Static has the keys of a file instead.
package keyring

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/token"
)

// Defaults of a Config. The lead is longer than the caches of common verifiers, some of which ignore max-age.
const (
	DefaultLead   = 24 * time.Hour
	DefaultReload = 30 * time.Second
)

// Config configures a Keyring. Box and Removed are optional; every other field is required.
type Config struct {
	Store     Store
	Box       *seal.Box       // seals the keys in the store; nil stores them in plaintext
	Algorithm token.Algorithm // of new keys
	Lead      time.Duration   // from a key's publication to its first token, in whole seconds
	Reload    time.Duration   // how often Run reads the store; at most half the lead
	TokenLife time.Duration   // how long a token of the keys can be used, also for a refresh only; in whole seconds
	Clock     func() time.Time
	Log       *slog.Logger
	// Removed is called after this node has removed a key, and again when every node has read the store since.
	// It must not call the Keyring. Optional.
	Removed func()
}

// Keyring has the signing keys of a store, as one node caches them. It is safe for concurrent use.
type Keyring struct {
	config     Config
	set        *token.KeySet
	sealed     []string     // see SealedAtStart
	staleAfter atomic.Int64 // until when the keys are current: Unix seconds

	mu       sync.Mutex // guards the fields below, and is held while the store is read
	keys     []nodeKey  // newest first
	readAt   int64      // when keys was read: Unix seconds
	triedAt  time.Time  // when the store was last read, successfully or not, by the machine's clock
	triedErr error      // the error of that read
	againAt  int64      // when Removed is called again: Unix seconds; 0 if it is not
}

// nodeKey is a stored key and its parsed form. The parsed form is nil if the key is retired.
type nodeKey struct {
	SigningKey
	key *token.Key
}

// Open reads the keys of the store. With a master key, it first seals them, if none of them is sealed yet. If there is
// no key, Open adds one that signs at once. If the newest key has another algorithm than c.Algorithm, it adds one that
// signs after the lead.
func Open(ctx context.Context, c Config) (*Keyring, error) {
	r := &Keyring{config: c, set: new(token.KeySet)}
	var err error
	if r.sealed, err = sealAll(ctx, c.Store, c.Box); err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		now := c.Clock().Unix()
		keys, err := r.read(ctx)
		if err != nil {
			return nil, err
		}
		newest := newestActive(keys)
		if newest != nil && newest.key.Algorithm() == c.Algorithm {
			return r, r.use(ctx, keys, now)
		}
		if newest != nil && try > 0 {
			return nil, fmt.Errorf("the newest signing key is %s although %s was just added: "+
				"start every node with the same --algorithm", newest.key.Algorithm(), c.Algorithm)
		}
		if countActive(keys) >= maxSigningKeys {
			return nil, fmt.Errorf("a key of %s cannot be added, because there are %d signing keys: "+
				"start with --algorithm %s and retire the keys whose tokens have expired",
				c.Algorithm, maxSigningKeys, newest.key.Algorithm())
		}
		signsFrom := now
		if newest != nil {
			signsFrom += seconds(c.Lead)
			c.Log.InfoContext(ctx, "a signing key of another algorithm is published", "algorithm", c.Algorithm,
				"signsFrom", FormatTime(signsFrom))
		}
		added, err := newSigningKey(c.Algorithm, c.Box, now, signsFrom)
		if err == nil {
			err = c.Store.AddSigningKey(ctx, added.SigningKey, len(keys) == 0)
		}
		if err != nil {
			return nil, err
		}
	}
}

// SealedAtStart returns the ids of the keys that Open has sealed.
func (r *Keyring) SealedAtStart() []string { return r.sealed }

// Set returns the keys: first the signing key, then the verifying ones.
func (r *Keyring) Set() *token.KeySet { return r.set }

// minMaxAge and maxMaxAge limit how long a verifier may cache the public keys. Verifiers that follow the maximum reject
// a retired key 5 minutes later.
const (
	minMaxAge = 30 * time.Second
	maxMaxAge = 5 * time.Minute
)

// MaxAge returns how long a verifier may cache the public keys: at most half the lead, so that it has a new key before
// the key signs.
func (r *Keyring) MaxAge() time.Duration { return min(max(r.config.Lead/2, minMaxAge), maxMaxAge) }

const (
	// minReadInterval is the shortest time between two reads of the store for tokens of unknown keys, because any
	// client can send such tokens.
	minReadInterval = time.Second
	// minRetryInterval is the same for reads because of stale keys while the store is unreachable. It is shorter, so
	// that the waiting callers are served soon after the store is reachable again.
	minRetryInterval = minReadInterval / 10
)

// Run reads the store regularly until ctx ends. While the store is unreachable, Run still switches to a published key
// when the key begins to sign.
func (r *Keyring) Run(ctx context.Context) {
	timer := time.NewTimer(r.config.Reload)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		r.mu.Lock()
		err := r.reload(ctx) // logs the error
		r.mu.Unlock()
		wait := r.config.Reload
		if err != nil {
			wait = min(wait, minReadInterval)
		}
		timer.Reset(wait)
	}
}

// EnsureCurrent reads the store if the keys may be stale: if Run was not scheduled, for example on a machine that
// slept, or if another key has begun to sign. A token signed with a key retired meanwhile would be lost. The error is
// fault.ErrUnavailable.
func (r *Keyring) EnsureCurrent(ctx context.Context) error {
	if r.current() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.current() { // another caller has read the keys meanwhile
		return nil
	}
	if r.triedErr == nil || time.Since(r.triedAt) >= minRetryInterval {
		_ = r.reload(ctx) // the error is in triedErr
	}
	if r.current() {
		return nil
	}
	return ifUnreachable(r.triedErr)
}

func (r *Keyring) current() bool { return r.config.Clock().Unix() < r.staleAfter.Load() }

// ReloadFor reads the store for a token verified by none of the keys, and reports whether a retry may succeed. A token
// that names one of the keys is a forgery, so the store is not read for it; a token of HS256 names none. The error is
// fault.ErrUnavailable.
func (r *Keyring) ReloadFor(ctx context.Context, text string) (retry bool, err error) {
	if r.set.HasKeyOf(text) {
		return false, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Since(r.triedAt) >= minReadInterval { // otherwise another caller has just read the keys
		_ = r.reload(ctx) // the error is in triedErr
	}
	return r.triedErr == nil, ifUnreachable(r.triedErr)
}

// ifUnreachable returns err if it means that the store is unreachable. After any other error, such as a damaged key, a
// node continues with its present keys.
func ifUnreachable(err error) error {
	if errors.Is(err, fault.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// reload reads the store and uses its keys; r.mu is held. After an error, the node continues with its present keys.
func (r *Keyring) reload(ctx context.Context) error {
	now := r.config.Clock().Unix()
	keys, err := r.read(ctx)
	if err != nil {
		err = errors.Join(err, r.use(ctx, r.keys, r.readAt))
	} else {
		err = r.use(ctx, keys, now)
	}
	if r.triedErr == nil && err != nil && !errors.Is(err, context.Canceled) {
		r.config.Log.WarnContext(ctx, "signing keys not read", "err", err)
	}
	r.triedAt = time.Now()
	r.triedErr = err
	return err
}

// read returns the keys of the store. It does not parse the node's present keys again.
func (r *Keyring) read(ctx context.Context) ([]nodeKey, error) {
	stored, err := r.config.Store.SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	parsed := map[string]*token.Key{}
	for _, k := range r.keys {
		parsed[k.ID] = k.key
	}
	keys := make([]nodeKey, len(stored))
	for i, k := range stored {
		keys[i] = nodeKey{SigningKey: k}
		if k.RetiredAt != 0 {
			continue
		}
		if keys[i].key = parsed[k.ID]; keys[i].key == nil {
			if keys[i].key, err = parseSigningKey(k, r.config.Box); err != nil {
				return nil, err
			}
		}
	}
	return keys, nil
}

var errNoSigningKey = errors.New("there is no signing key in the store: restart the server, which creates one")

// use makes the keys read at readAt the keys of the node: it puts the present signing key first.
func (r *Keyring) use(ctx context.Context, keys []nodeKey, readAt int64) error {
	now := r.config.Clock().Unix()
	first := signing(keys, now)
	if first < 0 {
		return errNoSigningKey // the node continues with its present keys
	}
	if len(r.keys) > 0 && r.set.Keys()[0] != keys[first].key {
		r.config.Log.InfoContext(ctx, "another key signs from now on", "key", keys[first].ID)
	}
	all := []*token.Key{keys[first].key}
	for i, k := range keys {
		if k.key != nil && i != first {
			all = append(all, k.key)
		}
	}
	maxAge := int64((2*r.config.Reload + time.Second - 1) / time.Second) // rounded up
	removed := removes(r.keys, keys)
	r.keys = keys
	r.readAt = readAt
	r.staleAfter.Store(min(readAt+maxAge, nextSigns(keys, now)))
	if err := r.set.Replace(all...); err != nil {
		return err
	}
	r.reportRemoved(removed, now, maxAge)
	return nil
}

// removes reports whether a key in use is no longer in use after a read.
func removes(before, after []nodeKey) bool {
	return slices.ContainsFunc(before, func(old nodeKey) bool {
		return old.key != nil && !slices.ContainsFunc(after, func(k nodeKey) bool { return k.key == old.key })
	})
}

// reportRemoved calls Config.Removed if it is time. After maxAge seconds no node uses the removed key.
func (r *Keyring) reportRemoved(removed bool, now, maxAge int64) {
	switch {
	case r.config.Removed == nil:
		return
	case removed:
		r.againAt = now + maxAge
	case r.againAt != 0 && now >= r.againAt:
		r.againAt = 0
	default:
		return
	}
	r.config.Removed()
}
