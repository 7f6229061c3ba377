package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/storecopy"
)

type storeEndSessionsCmd struct {
	Store string `required:"" placeholder:"ADDRESS" help:"Store: sqlite:FOLDER or postgres://..."`
	JSON  bool   `name:"json" help:"Print JSON."`
}

func (*storeEndSessionsCmd) Help() string {
	return `Example:
  pawl store end-sessions --store postgres://pawl@db1/pawl

Use it on a PostgreSQL database that was restored from a backup, because tokens that were superseded after the
backup are current again in it. For SQLite, pawl store restore includes this step. Run it before the servers
start, because a running server does not notice. Put an address with a password into PAWL_STORE.`
}

func (c *storeEndSessionsCmd) Run(ctx context.Context, std stdio) (err error) {
	address, err := parseStore("store", c.Store, "")
	if err != nil {
		return err
	}
	store, err := app.OpenStore(ctx, app.StoreConfig{
		Address: address, MustExist: true, Exclusive: true, Log: commandLog(std),
	})
	if err != nil {
		return explainMissing(err, "--store")
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	progress := newProgress(std.err)
	ended, err := storecopy.EndSessions(ctx, store, time.Now(), progress.show)
	progress.end()
	switch {
	case err != nil:
		return fmt.Errorf("some sessions have not ended: %w; run the same line again", err)
	case c.JSON:
		return printJSON(std.out, map[string]int64{"ended": ended})
	}
	_, err = fmt.Fprintf(std.out, "Sessions ended: %d.\n", ended)
	return err
}
