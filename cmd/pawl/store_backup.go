package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pawlauth/pawl/internal/store/sqlite"
)

type storeBackupCmd struct {
	Data string `default:"pawl-data" placeholder:"DIR" help:"Data folder."`
	To   string `required:"" placeholder:"FILE" help:"File to write; it must not be there yet."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (*storeBackupCmd) Help() string {
	return `Example:
  pawl store backup --data /var/lib/pawl --to /backup/pawl-2026-11-24.db

The server may run meanwhile. To restore, stop it and put the file in the data folder as pawl.db, with no pawl.db-wal or
pawl.db-shm beside it. Sessions are then as they were at the backup: see docs/operations.md.`
}

func (c *storeBackupCmd) Run(ctx context.Context, std stdio) error {
	done := make(chan error, 1)
	go func() { done <- sqlite.Backup(ctx, c.Data, c.To) }()
	progress := newProgress(std.err)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			progress.show("bytes", size(c.To), size(filepath.Join(c.Data, sqlite.FileName)))
			continue
		case err := <-done:
			progress.end()
			if err != nil {
				return err
			}
		}
		if c.JSON {
			return printJSON(std.out, map[string]any{"file": c.To, "bytes": size(c.To)})
		}
		_, err := fmt.Fprintf(std.out, "Backed up to %s, %d bytes.\n", c.To, size(c.To))
		return err
	}
}

// size is a file's length in bytes; 0 for one that is not there.
func size(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
