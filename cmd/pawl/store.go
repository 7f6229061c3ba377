package main

import (
	"cmp"
	"os"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/seal"
)

type storeCmd struct {
	Copy        storeCopyCmd        `cmd:"" help:"Copy everything from one store to another, with no server running on either."`
	Backup      storeBackupCmd      `cmd:"" help:"Copy the embedded store to a file, while the server runs."`
	EndSessions storeEndSessionsCmd `cmd:"" help:"End every session in a store that comes from a backup."`
}

// storeSettings say where the state is.
type storeSettings struct {
	Store           string        `default:"sqlite:" placeholder:"ADDRESS" help:"Where the state is: sqlite: (in the data folder) or postgres://USER@HOST,HOST/DATABASE. Give one with a password as PAWL_STORE."`
	MasterKeyFile   string        `placeholder:"FILE" help:"Seals the signing keys in the store: 32 bytes in base64. PAWL_MASTER_KEY may hold the key itself."`
	VerifyStaleness time.Duration `default:"0s" help:"How old the state may be that a bearer is checked against, on PostgreSQL; 0s reads it for each check."`
}

// apply puts the settings into c.
func (s storeSettings) apply(c *app.Config) error {
	if s.VerifyStaleness < 0 || s.VerifyStaleness > time.Minute {
		return usagef("--verify-staleness must be from 0s to 1m")
	}
	var err error
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

// parseStore parses the address that a flag has. folder is the data folder for an address that names none.
func parseStore(flag, text, folder string) (app.StoreAddress, error) {
	address, err := app.ParseStoreAddress(text)
	if err != nil {
		return address, usagef("%s: %w", flag, err)
	}
	address.Folder = cmp.Or(address.Folder, folder)
	return address, nil
}

// masterKey reads the key from the file, or from PAWL_MASTER_KEY; there may be
// none. It is no flag: arguments are seen by every user of the machine.
func masterKey(file string) (*seal.Box, error) {
	text := os.Getenv("PAWL_MASTER_KEY")
	if file != "" {
		read, err := os.ReadFile(file)
		if err != nil {
			return nil, usagef("the master key file cannot be read: %w", err)
		}
		text = string(read)
	}
	if text == "" && file == "" {
		return nil, nil
	}
	box, err := seal.NewBox(text)
	if err != nil {
		return nil, usagef("the master key cannot be used: %w", err)
	}
	return box, nil
}
