package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/store/sqlite"
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
	authority.Copying
}

// IsPostgres reports whether a store's address is one of PostgreSQL.
func IsPostgres(address string) bool {
	return strings.HasPrefix(address, urlPrefix) || strings.HasPrefix(address, longURL)
}

// NeedMasterKey returns an error if c names a database that others can read,
// and no way to keep its signing keys from them.
func NeedMasterKey(c Config) error {
	if IsPostgres(c.Store) && c.MasterKey == nil && c.SigningKeyFile == "" {
		return errors.New("a store on PostgreSQL needs a master key, which seals the signing keys in it: make one with openssl rand -base64 32, and give the same to every node, as --master-key-file or PAWL_MASTER_KEY")
	}
	return nil
}

// OpenStore opens the store that c names.
func OpenStore(ctx context.Context, c Config) (Store, error) {
	if IsPostgres(c.Store) {
		return postgres.Open(ctx, postgres.Config{DSN: c.Store, Staleness: c.VerifyStaleness, Hooks: c.postgresHooks()})
	}
	dir, ok := strings.CutPrefix(c.Store, sqlitePrefix)
	switch {
	case !ok && c.Store != "":
		return nil, fmt.Errorf("--store must be sqlite: or sqlite:FOLDER, or begin with %s", urlPrefix)
	case dir == "":
		dir = c.Data
	}
	return sqlite.OpenWith(dir, c.sqliteHooks())
}
