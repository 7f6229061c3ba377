package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/storecopy"
)

type storeCopyCmd struct {
	From          string `required:"" placeholder:"ADDRESS" help:"The store to read: sqlite:FOLDER or postgres://..."`
	To            string `required:"" placeholder:"ADDRESS" help:"The store to fill; it must be empty, or have a part of an earlier copy."`
	MasterKeyFile string `placeholder:"FILE" help:"Opens the signing keys of the one and seals those of the other; or PAWL_MASTER_KEY."`
	JSON          bool   `name:"json" help:"Print JSON."`
}

func (*storeCopyCmd) Help() string {
	return `Example:
  pawl store copy --from sqlite:/var/lib/pawl --to postgres://pawl@db/pawl --master-key-file master.key

An address with a password is better given as PAWL_FROM or PAWL_TO. Stop the servers of both stores first. A copy that was cut off is run again with the same line: it begins anew. A server
does not start on a store that was copied in part.`
}

func (c *storeCopyCmd) Run(ctx context.Context, std stdio) (err error) {
	box, err := masterKey(c.MasterKeyFile)
	if err != nil {
		return err
	}
	source, errFrom := parseStore("--from", c.From, "")
	target, errTo := parseStore("--to", c.To, "")
	config := app.Config{Store: target, MasterKey: box}
	if err := errors.Join(errFrom, errTo, config.Validate()); err != nil {
		return usagef("%w", err)
	}
	from, err := app.OpenStore(ctx, app.StoreConfig{Address: source, MustExist: true, Exclusive: true})
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := app.OpenStore(ctx, app.StoreConfig{Address: target, Exclusive: true})
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	progress := newProgress(std.err)
	counts, err := storecopy.Copy(ctx, from, to, box, progress.show)
	progress.end()
	switch {
	case errors.Is(err, storecopy.ErrNotEmpty):
		return fmt.Errorf("--to: %w: it has users, and is not a copy that was cut off; name an empty one", err)
	case err != nil:
		return fmt.Errorf("the copy was cut off: %w; run the same line again, it begins anew", err)
	case c.JSON:
		return printJSON(std.out, map[string]int64{"users": counts.Users, "sessions": counts.Sessions, "keys": counts.APIKeys, "signingKeys": counts.SigningKeys})
	}
	_, err = fmt.Fprintf(std.out, "Copied and counted: %d users, %d sessions, %d keys, %d signing keys.\n", counts.Users, counts.Sessions, counts.APIKeys, counts.SigningKeys)
	return err
}
