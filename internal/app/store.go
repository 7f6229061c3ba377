package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/metrics"
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
	// MustExist rejects a missing store. If false, OpenStore creates it.
	MustExist bool
	// Exclusive rejects a store already open in another process, and locks all others out until Close. A SQLite store
	// is always exclusive.
	Exclusive bool
	// VerifyStaleness is how stale the state for the check of a bearer token may be, on PostgreSQL. If 0, each check
	// reads the row. SQLite ignores it.
	VerifyStaleness time.Duration
	// Metrics counts commits and failures. Optional.
	Metrics *metrics.Metrics
}

// OpenStore opens a store.
func OpenStore(ctx context.Context, c StoreConfig) (Store, error) {
	if c.Address.Kind() == Postgres {
		config := *c.Address.database
		config.MustExist = c.MustExist
		config.Exclusive = c.Exclusive
		config.Staleness = c.VerifyStaleness
		config.Metrics = c.Metrics
		return postgres.Open(ctx, config)
	}
	folder := c.Address.Folder
	if folder == "" {
		return nil, errors.New("the address sqlite: needs a folder here; write sqlite:FOLDER")
	}
	if c.MustExist {
		if _, err := os.Stat(filepath.Join(folder, sqlite.FileName)); err != nil {
			return nil, fmt.Errorf("there is no store in %s: %w; check the folder", folder, err)
		}
	}
	return sqlite.Open(folder, sqlite.Options{Metrics: c.Metrics})
}
