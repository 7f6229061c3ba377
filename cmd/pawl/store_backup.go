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
	embeddedStore `embed:""`

	To   string `required:"" placeholder:"FILE" help:"File to write; it must not exist."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (*storeBackupCmd) Help() string {
	return `Example:
  pawl store backup --data /var/lib/pawl --to /backup/pawl-2026-11-24.db

The server may keep running. To restore the backup, run pawl store restore.`
}

func (c *storeBackupCmd) Run(ctx context.Context, std stdio) error {
	data, err := c.folder()
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- sqlite.Backup(ctx, data, c.To) }()
	progress := newProgress(std.err)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			progress.show("bytes", fileSize(c.To), fileSize(filepath.Join(data, sqlite.FileName)))
			continue
		case err := <-done:
			progress.end()
			if err != nil {
				return explainMissing(err, "--data")
			}
		}
		if c.JSON {
			return printJSON(std.out, map[string]any{"file": c.To, "bytes": fileSize(c.To)})
		}
		_, err := fmt.Fprintf(std.out, "Backed up to %s, %d bytes.\n", c.To, fileSize(c.To))
		return err
	}
}

// fileSize returns the length of a file in bytes, or 0 if it cannot be read.
func fileSize(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
