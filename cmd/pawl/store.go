package main

import (
	"errors"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/storecopy"
)

type storeCmd struct {
	Copy        storeCopyCmd        `cmd:"" help:"Copy a store to another one, with all servers stopped."`
	Backup      storeBackupCmd      `cmd:"" help:"Copy the embedded store to a file, while the server runs."`
	Restore     storeRestoreCmd     `cmd:"" help:"Replace the embedded store by a backup, and end all its sessions."`
	Check       storeCheckCmd       `cmd:"" help:"Check that a store or a backup is whole."`
	Distribute  storeDistributeCmd  `cmd:"" help:"Distribute the sessions over the workers of Citus."`
	EndSessions storeEndSessionsCmd `cmd:"" help:"End every session of a store that was restored from a backup."`
}

// embeddedStore is embedded by each command for the SQLite store alone, so that the command does not take the data
// folder for the store of a server on PostgreSQL.
type embeddedStore struct {
	Data  string `default:"${data}" placeholder:"DIR" help:"Data folder."`
	Store string `default:"${store}" hidden:"" help:"Store of the server."`
}

// folder returns the data folder.
func (e embeddedStore) folder() (string, error) {
	address, err := parseStore("store", e.Store, e.Data)
	if err == nil && address.Kind() != app.SQLite {
		err = badSetting("store", "names PostgreSQL, which its own tools back up and restore: see docs/operations.md")
	}
	return address.Folder, err
}

// explainNoAdministrator is explainMissing for serve, which can do without one at the first start.
func explainNoAdministrator(err error, flag string) error {
	if lacksAdministrator(err) {
		return usagef("%w, or add --setup to create the administrator in the console", explainMissing(err, flag))
	}
	return err
}

// explainMissing adds the remedy to the error of a store that does not exist or has no administrator. A wrong flag is
// the usual cause, so the error is a usage error. It returns every other error unchanged.
func explainMissing(err error, flag string) error {
	if lacksAdministrator(err) {
		return usagef("%w; run pawl init first, or check %s", err, flag)
	}
	return err
}

// lacksAdministrator reports whether an error means that a store does not exist or has no administrator.
func lacksAdministrator(err error) bool {
	return errors.Is(err, storecopy.ErrMissing) || errors.Is(err, storecopy.ErrNoAdministrator)
}
