package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/pawlauth/pawl/internal/store/sqlite"
)

type storeRestoreCmd struct {
	embeddedStore `embed:""`

	From string `required:"" placeholder:"FILE" help:"Backup to restore, from pawl store backup."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (*storeRestoreCmd) Help() string {
	return `Example:
  pawl store restore --data /var/lib/pawl --from /backup/pawl-2026-11-24.db

Stop the server first. The command checks the backup, ends all its sessions, and moves the files of the present store
into a new folder inside of the data folder. If it is interrupted, run the same line again.`
}

func (c *storeRestoreCmd) Run(ctx context.Context, std stdio) error {
	data, err := c.folder()
	if err != nil {
		return err
	}
	for _, named := range []struct{ flag, path string }{
		{flag: "--data", path: data},
		{flag: "--from", path: c.From},
	} {
		if _, err := os.Stat(named.path); err != nil {
			return usagef("%w; check %s", err, named.flag)
		}
	}
	progress := newProgress(std.err)
	restored, err := sqlite.Restore(ctx, c.From, data, time.Now(), progress.show)
	progress.end()
	switch {
	case err != nil:
		return err
	case c.JSON:
		return printJSON(std.out, map[string]any{
			"users": restored.Users, "keys": restored.APIKeys, "signingKeys": restored.SigningKeys,
			"endedSessions": restored.Ended, "previous": restored.Previous,
		})
	}
	_, err = fmt.Fprintf(std.out,
		"Restored %s from %s: %d users, %d API keys, %d signing keys; %d sessions were ended.\n",
		data, c.From, restored.Users, restored.APIKeys, restored.SigningKeys, restored.Ended)
	if err == nil && restored.Previous != "" {
		_, err = fmt.Fprintf(std.out, "The previous files are in %s; delete them when you no longer need them.\n",
			restored.Previous)
	}
	return err
}
