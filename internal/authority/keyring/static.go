package keyring

import (
	"context"
	"time"

	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// Static has fixed keys, such as those of a file. The first one signs.
type Static struct{ set *token.KeySet }

// NewStatic returns a Static with the keys. There must be at least one key.
func NewStatic(keys []*token.Key) (*Static, error) {
	set, err := token.NewKeySet(keys...)
	if err != nil {
		return nil, err
	}
	return &Static{set: set}, nil
}

var errKeysInFile = fault.Invalid("The signing keys are in the file of --signing-key-file; " +
	"change the file, with the key that is to sign first, and restart the server.")

// Set returns the keys, the signing key first.
func (s *Static) Set() *token.KeySet { return s.set }

// Run returns at once.
func (s *Static) Run(context.Context) {}

// EnsureCurrent returns nil.
func (s *Static) EnsureCurrent(context.Context) error { return nil }

// ReloadFor returns false.
func (s *Static) ReloadFor(context.Context, string) (retry bool, err error) { return false, nil }

// MaxAge returns minMaxAge.
func (s *Static) MaxAge() time.Duration { return minMaxAge }

// List returns the keys, without times.
func (s *Static) List(context.Context) ([]Info, error) {
	infos := []Info{}
	for i, key := range s.set.Keys() {
		info := Info{ID: key.ID(), Algorithm: key.Algorithm(), State: Verifying}
		if i == 0 {
			info.State = Signing
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// Rotate returns an error, because the operator changes the file instead.
func (s *Static) Rotate(context.Context, Store) (Info, error) { return Info{}, errKeysInFile }

// Retire returns an error, because the operator changes the file instead.
func (s *Static) Retire(context.Context, Store, string, bool) (Info, error) {
	return Info{}, errKeysInFile
}
