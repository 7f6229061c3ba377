package main

import (
	"cmp"
	"errors"
	"os"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/seal"
)

// storeSettings name the store and its master key. The master key has no flag, because every user of the machine can
// read the arguments of a process.
type storeSettings struct {
	// Store is sqlite:, sqlite:FOLDER, or postgres://USER@HOST,HOST/DATABASE.
	Store string `default:"${store}" placeholder:"ADDRESS" help:"Store: sqlite: (in --data) or postgres://..."`

	// MasterKeyFile has 32 bytes in base64, to seal the signing keys in the store. PostgreSQL requires it.
	MasterKeyFile string `placeholder:"FILE" help:"Master key of the store; or PAWL_MASTER_KEY."`

	// PrivateReceivers leaves out the addresses that no receiver may have, such as those of metadata services.
	PrivateReceivers bool `help:"Let receivers be at private addresses, and at plain HTTP on loopback."`

	// VerifyStaleness is at most 1m. 0s reads the row for each check. It has no effect on SQLite.
	VerifyStaleness time.Duration `default:"0s" help:"How stale a session may be when a bearer is checked."`
}

// apply puts the settings into c. The error has all problems.
func (s storeSettings) apply(c *app.Config) error {
	var stale, needsKey error
	if s.VerifyStaleness < 0 || s.VerifyStaleness > time.Minute {
		stale = badSetting("verify-staleness", "must be from 0s to 1m")
	}
	c.VerifyStaleness = s.VerifyStaleness
	c.PrivateReceivers = s.PrivateReceivers
	address, storeErr := parseStore("store", s.Store, c.Store.Folder)
	c.Store = address
	box, keyErr := masterKey(s.MasterKeyFile)
	c.MasterKey = box
	if err := c.Validate(); err != nil && storeErr == nil && keyErr == nil {
		needsKey = badSetting("master-key-file", "is missing: %w", err)
	}
	return errors.Join(stale, storeErr, keyErr, needsKey)
}

// parseStore parses the address in a flag, named without hyphens. An address without a folder gets the given one.
func parseStore(flag, text, folder string) (app.StoreAddress, error) {
	address, err := app.ParseStoreAddress(text)
	if err != nil {
		return address, badSetting(flag, "is invalid: %w", err)
	}
	address.Folder = cmp.Or(address.Folder, folder)
	return address, nil
}

// storeFlag returns the flag that names the store in a command with --data and --store.
func storeFlag(address app.StoreAddress) string {
	if address.Kind() == app.Postgres {
		return "--store"
	}
	return "--data"
}

// masterKey reads the master key from a file, or from PAWL_MASTER_KEY. Without either it returns nil.
func masterKey(file string) (*seal.Box, error) {
	text := os.Getenv("PAWL_MASTER_KEY")
	if file != "" {
		read, err := os.ReadFile(file)
		if err != nil {
			return nil, badSetting("master-key-file", "names a file that cannot be read: %w", err)
		}
		text = string(read)
	}
	if text == "" && file == "" {
		return nil, nil
	}
	box, err := seal.NewBox(text)
	if err != nil {
		if file == "" {
			return nil, usagef("PAWL_MASTER_KEY is invalid: %w", err)
		}
		return nil, badSetting("master-key-file", "names a file that has no master key: %w", err)
	}
	return box, nil
}
