package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/storecopy"
)

type storeCopyCmd struct {
	From string `required:"" placeholder:"ADDRESS" help:"Store to read: sqlite:FOLDER or postgres://..."`
	To   string `required:"" placeholder:"ADDRESS" help:"Store to fill; it must be empty."`
	JSON bool   `name:"json" help:"Print JSON."`

	MasterKeyFile string `placeholder:"FILE" help:"Master key of both stores; or PAWL_MASTER_KEY."`
}

func (*storeCopyCmd) Help() string {
	return `Example:
  pawl store copy --from sqlite:/var/lib/pawl --to postgres://pawl@db/pawl --master-key-file master.key

Stop the servers of both stores first. If the copy is interrupted, run the same line again; it starts over. A server
refuses to start on an incomplete copy. The copy leaves the audit and the failure counters behind: keep the old store
for as long as you need its audit. Put an address with a password into PAWL_FROM or PAWL_TO.`
}

func (c *storeCopyCmd) Run(ctx context.Context, std stdio) (err error) {
	box, err := masterKey(c.MasterKeyFile)
	if err != nil {
		return err
	}
	source, err := parseStore("from", c.From, "")
	if err != nil {
		return err
	}
	target, err := parseStore("to", c.To, "")
	if err != nil {
		return err
	}
	config := app.Config{Store: target, MasterKey: box}
	if err := config.Validate(); err != nil {
		return usagef("%w", err)
	}
	from, err := app.OpenStore(ctx, app.StoreConfig{
		Address: source, MustExist: true, Exclusive: true, Log: commandLog(std),
	})
	if err != nil {
		return explainMissing(fmt.Errorf("--from: %w", err), "--from")
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := app.OpenStore(ctx, app.StoreConfig{Address: target, Exclusive: true, Log: commandLog(std)})
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	progress := newProgress(std.err)
	n, err := storecopy.Copy(ctx, from, to, box, progress.show)
	progress.end()
	switch {
	case errors.Is(err, storecopy.ErrNotEmpty):
		return fmt.Errorf("--to: %w, and not the target of an interrupted copy; name an empty one", err)
	case err != nil:
		return fmt.Errorf("the copy was interrupted: %w; run the same line again, it starts over", err)
	case c.JSON:
		return printJSON(std.out, map[string]int64{
			"users": n.Users, "sessions": n.Sessions, "keys": n.APIKeys, "signingKeys": n.SigningKeys,
		})
	}
	_, err = fmt.Fprintf(std.out, "Copied and counted: %d users, %d sessions, %d API keys, %d signing keys.\n",
		n.Users, n.Sessions, n.APIKeys, n.SigningKeys)
	return err
}
