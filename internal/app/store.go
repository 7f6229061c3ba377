package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/metrics"
	"github.com/pawlauth/pawl/internal/revocation"
	"github.com/pawlauth/pawl/internal/seal"
	"github.com/pawlauth/pawl/internal/store/postgres"
	"github.com/pawlauth/pawl/internal/store/sqlite"
	"github.com/pawlauth/pawl/internal/storecopy"
	"github.com/pawlauth/pawl/internal/userimport"
)

// StoreKind is the kind of a store.
type StoreKind string

// The kinds of store.
const (
	SQLite   StoreKind = "sqlite"   // the embedded store, for one node
	Postgres StoreKind = "postgres" // for many nodes
)

// StoreAddress is where a store keeps its state. The zero value is a SQLite store without a folder.
type StoreAddress struct {
	// Folder is the data folder of a SQLite store. PostgreSQL ignores it.
	Folder string

	database *postgres.Config // nil for SQLite
}

// ParseStoreAddress parses sqlite:FOLDER, sqlite: without a folder, or a URL of PostgreSQL such as
// postgres://pawl@db1,db2/pawl. An empty text is sqlite: too. The error never contains the password.
func ParseStoreAddress(text string) (StoreAddress, error) {
	if folder, ok := strings.CutPrefix(text, "sqlite:"); ok || text == "" {
		return StoreAddress{Folder: folder}, nil
	}
	if !strings.HasPrefix(text, "postgres://") && !strings.HasPrefix(text, "postgresql://") {
		return StoreAddress{}, errors.New("a store is sqlite:, sqlite:FOLDER or postgres://USER@HOST/DATABASE")
	}
	database, err := postgres.ParseConfig(text)
	if err != nil {
		return StoreAddress{}, err
	}
	return StoreAddress{database: &database}, nil
}

// Kind returns the kind of store at the address.
func (a StoreAddress) Kind() StoreKind {
	if a.database != nil {
		return Postgres
	}
	return SQLite
}

// String returns the address without a password.
func (a StoreAddress) String() string {
	if a.database == nil {
		return "sqlite:" + a.Folder
	}
	address, err := url.Parse(a.database.DSN)
	if err != nil {
		return "postgres:" // unreachable, because ParseStoreAddress rejects it
	}
	query := address.Query()
	for name := range query {
		if strings.Contains(name, "password") {
			query.Set(name, "xxxxx")
			address.RawQuery = query.Encode()
		}
	}
	return address.Redacted()
}

// location returns the address as it is in messages.
func (a StoreAddress) location() string {
	if a.database == nil {
		return a.Folder
	}
	return a.String()
}

// addPlace adds the address to an error that a store returns without it.
func (a StoreAddress) addPlace(err error) error {
	switch {
	case errors.Is(err, storecopy.ErrMissing):
		return fmt.Errorf("%w in %s", err, a.location())
	case errors.Is(err, storecopy.ErrNoAdministrator), errors.Is(err, storecopy.ErrIncomplete):
		return fmt.Errorf("%s: %w", a.location(), err)
	}
	return err
}

// Store is a store that serves an authority, can be copied, and accepts imported users.
type Store interface {
	authority.Store
	storecopy.Copier
	userimport.Store
}

// StoreConfig configures OpenStore.
type StoreConfig struct {
	// Address is where the store is. A SQLite address must have a folder.
	Address StoreAddress
	// MustExist rejects a missing store and a store without an administrator, because a wrong address leads to one of
	// them. The errors are storecopy.ErrMissing and storecopy.ErrNoAdministrator. If false, OpenStore creates a missing
	// store.
	MustExist bool
	// Exclusive rejects a store already open in another process, and locks all others out until Close. A SQLite store
	// is always exclusive.
	Exclusive bool
	// VerifyStaleness is how stale the state for the check of a bearer token may be, on PostgreSQL. If 0, each check
	// reads the row. SQLite ignores it.
	VerifyStaleness time.Duration
	// Feed receives what each commit superseded or ended. Optional.
	Feed *revocation.Feed
	// Metrics counts commits and failures. Optional.
	Metrics *metrics.Metrics
	// Log receives the migrations of the schema. Optional.
	Log *slog.Logger
	// PrimaryLog receives which standbys of PostgreSQL confirm a commit, and each change of the primary. Optional.
	PrimaryLog *slog.Logger
}

// OpenStore opens a store.
func OpenStore(ctx context.Context, c StoreConfig) (Store, error) {
	store, err := openStore(ctx, c)
	if err != nil {
		return nil, c.Address.addPlace(err)
	}
	if c.MustExist {
		if err := requireAdministrator(ctx, store); err != nil {
			return nil, errors.Join(c.Address.addPlace(err), store.Close())
		}
	}
	return store, nil
}

func openStore(ctx context.Context, c StoreConfig) (Store, error) {
	if c.Address.Kind() == Postgres {
		config := *c.Address.database
		config.MustExist = c.MustExist
		config.Exclusive = c.Exclusive
		config.Staleness = c.VerifyStaleness
		config.Feed = c.Feed
		config.Metrics = c.Metrics
		config.Log = c.Log
		config.PrimaryLog = c.PrimaryLog
		return postgres.Open(ctx, config)
	}
	folder := c.Address.Folder
	if folder == "" {
		return nil, errors.New("the address sqlite: needs a folder here; write sqlite:FOLDER")
	}
	if c.MustExist {
		info, err := os.Stat(filepath.Join(folder, sqlite.FileName))
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
			return nil, storecopy.ErrMissing
		}
	}
	return sqlite.Open(folder, sqlite.Options{Metrics: c.Metrics, Log: c.Log, Feed: c.Feed})
}

// CheckStore reads a whole store, and returns what is damaged. A SQLite store must not be in use. A store that is
// missing or has no administrator is an error, as in OpenStore.
func CheckStore(ctx context.Context, address StoreAddress) (storecopy.Report, error) {
	if address.Kind() == SQLite {
		return sqlite.Check(ctx, address.Folder)
	}
	report, err := postgres.Check(ctx, *address.database)
	return report, address.addPlace(err)
}

// DistributeStore distributes a store on PostgreSQL over the workers of Citus. If shards is 0, their number follows
// from the number of workers. No server may use the store.
func DistributeStore(ctx context.Context, address StoreAddress, shards int) (postgres.Distribution, error) {
	if address.Kind() == SQLite {
		return postgres.Distribution{}, errors.New("only a store on PostgreSQL with Citus can be distributed; " +
			"move the store with pawl store copy first")
	}
	d, err := postgres.Distribute(ctx, *address.database, shards)
	return d, address.addPlace(err)
}

// InspectStore reads what a server needs of a store, and changes nothing. Servers may use the store at the same time.
// It returns an error if a server with this master key could not start.
func InspectStore(ctx context.Context, address StoreAddress, masterKey *seal.Box) (storecopy.Inspection, error) {
	var found storecopy.Inspection
	var err error
	if address.Kind() == SQLite {
		found, err = sqlite.Inspect(ctx, address.Folder)
	} else {
		found, err = postgres.Inspect(ctx, *address.database)
		err = address.addPlace(err)
	}
	if err == nil && found.Schema > found.Latest {
		err = fmt.Errorf("%s has schema version %d, and this Pawl supports versions up to %d: start the newer Pawl",
			address.location(), found.Schema, found.Latest)
	}
	if err == nil && masterKey != nil {
		err = keyring.RequireUniform(found.SigningKeys)
	}
	for _, key := range found.SigningKeys {
		if err == nil {
			_, err = keyring.Unseal(key, masterKey)
		}
	}
	return found, err
}

// requireAdministrator returns storecopy.ErrNoAdministrator for a store without a user of level Root. The target of an
// incomplete copy may have none yet, and returns storecopy.ErrIncomplete.
func requireAdministrator(ctx context.Context, store Store) error {
	if incomplete, err := store.CopyInProgress(ctx); err != nil || incomplete {
		return cmp.Or(err, storecopy.ErrIncomplete)
	}
	roots, err := store.ListUsers(ctx, authority.UserFilter{Level: authority.Root, Limit: 1})
	if err == nil && len(roots) == 0 {
		err = storecopy.ErrNoAdministrator
	}
	return err
}
