package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/store/sqlite"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/userimport"
)

// The forms of a store's address.
const (
	sqlitePrefix = "sqlite:" // and a folder; without one, the data folder
	urlPrefix    = "postgres://"
	longURL      = "postgresql://"
)

// Store is a store that can also be copied.
type Store interface {
	authority.Store
	storecopy.Copier
	userimport.Store
}

// IsPostgres reports whether a store's address is one of PostgreSQL.
func IsPostgres(address string) bool {
	return strings.HasPrefix(address, urlPrefix) || strings.HasPrefix(address, longURL)
}

// CheckStore returns an error for an address that is none, before anything is
// opened.
func CheckStore(address string) error {
	if IsPostgres(address) {
		return postgres.CheckDSN(address)
	}
	if address != "" && !strings.HasPrefix(address, sqlitePrefix) {
		return fmt.Errorf("a store is sqlite: or sqlite:FOLDER, or begins with %s", urlPrefix)
	}
	return nil
}

// NeedMasterKey returns an error if c names a database that others can read,
// and no way to keep its signing keys from them.
func NeedMasterKey(c Config) error {
	if IsPostgres(c.Store) && c.MasterKey == nil && c.SigningKeyFile == "" {
		return errors.New("a store on PostgreSQL needs a master key, which seals the signing keys in it: make one with openssl rand -base64 32, and give the same to every node, as --master-key-file or PAWL_MASTER_KEY")
	}
	return nil
}

// OpenStore opens the store that c names, and makes it if it is not there.
func OpenStore(ctx context.Context, c Config) (Store, error) {
	return open(ctx, c, postgres.Config{DSN: c.Store, Staleness: c.VerifyStaleness})
}

// OpenAlone is OpenStore for a copy: it refuses a store that any other Pawl has
// open, and keeps all others out until it is closed.
func OpenAlone(ctx context.Context, c Config) (Store, error) {
	return open(ctx, c, postgres.Config{DSN: c.Store, Alone: true})
}

// open opens an embedded store, which has one user at a time in any case, or
// the one that pg names.
func open(ctx context.Context, c Config, pg postgres.Config) (Store, error) {
	if err := CheckStore(c.Store); err != nil {
		return nil, err
	}
	if IsPostgres(c.Store) {
		pg.Metrics = c.Metrics
		return postgres.Open(ctx, pg)
	}
	return sqlite.OpenWith(folder(c), c.Metrics)
}

// OpenExisting is OpenStore, but an error if the store is not there yet: for
// what only makes sense on one that is, as a mistyped name would not be.
func OpenExisting(ctx context.Context, c Config) (Store, error) {
	return existing(ctx, c, postgres.Config{DSN: c.Store, MustExist: true})
}

// OpenExistingAlone is OpenAlone, but an error if the store is not there yet.
func OpenExistingAlone(ctx context.Context, c Config) (Store, error) {
	return existing(ctx, c, postgres.Config{DSN: c.Store, MustExist: true, Alone: true})
}

func existing(ctx context.Context, c Config, pg postgres.Config) (Store, error) {
	if err := CheckStore(c.Store); err != nil {
		return nil, err
	}
	if !IsPostgres(c.Store) {
		if _, err := os.Stat(filepath.Join(folder(c), sqlite.FileName)); err != nil {
			return nil, fmt.Errorf("there is no store in %s: %w", folder(c), err)
		}
	}
	return open(ctx, c, pg)
}

// folder is where an embedded store is.
func folder(c Config) string {
	return cmp.Or(strings.TrimPrefix(c.Store, sqlitePrefix), c.Data)
}
