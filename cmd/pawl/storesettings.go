package main

import (
	"cmp"
	"os"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/seal"
)

// storeSettings name the store and its master key. The master key has no flag, because every user of the machine can
// read the arguments of a process.
type storeSettings struct {
	// Store is sqlite:, sqlite:FOLDER, or postgres://USER@HOST,HOST/DATABASE.
	Store string `default:"sqlite:" placeholder:"ADDRESS" help:"Store: sqlite: (in --data) or postgres://..."`

	// MasterKeyFile has 32 bytes in base64, to seal the signing keys in the store. PostgreSQL requires it.
	MasterKeyFile string `placeholder:"FILE" help:"Master key of the store; or PAWL_MASTER_KEY."`

	// VerifyStaleness is at most 1m. 0s reads the row for each check. It has no effect on SQLite.
	VerifyStaleness time.Duration `default:"0s" help:"How stale a session may be when a bearer is checked."`
}

// apply checks the settings and puts them into c.
func (s storeSettings) apply(c *app.Config) (err error) {
	if s.VerifyStaleness < 0 || s.VerifyStaleness > time.Minute {
		return usagef("--verify-staleness must be from 0s to 1m")
	}
	if c.Store, err = parseStore("--store", s.Store, c.Store.Folder); err != nil {
		return err
	}
	c.VerifyStaleness = s.VerifyStaleness
	if c.MasterKey, err = masterKey(s.MasterKeyFile); err != nil {
		return err
	}
	if err := c.Validate(); err != nil {
		return usagef("%w", err)
	}
	return nil
}

// parseStore parses the address in a flag. An address without a folder gets the given one.
func parseStore(flag, text, folder string) (app.StoreAddress, error) {
	address, err := app.ParseStoreAddress(text)
	if err != nil {
		return address, usagef("%s: %w", flag, err)
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
			return nil, usagef("cannot read the master key file: %w", err)
		}
		text = string(read)
	}
	if text == "" && file == "" {
		return nil, nil
	}
	box, err := seal.NewBox(text)
	if err != nil {
		return nil, usagef("the master key is invalid: %w", err)
	}
	return box, nil
}
