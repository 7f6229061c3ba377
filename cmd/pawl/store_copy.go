package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
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

Stop the servers of both stores first. A copy that was cut off is run again with the same line: it begins anew. A server
does not start on a store that was copied in part.`
}

func (c *storeCopyCmd) Run(ctx context.Context, std stdio) (err error) {
	box, err := masterKey(c.MasterKeyFile)
	if err != nil {
		return err
	}
	open := func(address string) (app.Store, error) {
		config := app.Config{Store: address, MasterKey: box}
		if err := app.NeedMasterKey(config); err != nil {
			return nil, err
		}
		return app.OpenStore(ctx, config)
	}
	from, err := open(c.From)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := open(c.To)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	progress := newProgress(std.err)
	counts, err := storecopy.Copy(ctx, from, to, box, progress.show)
	progress.end()
	switch {
	case errors.Is(err, authority.ErrInUse):
		return fmt.Errorf("--to: %w: it has users, and is not a copy that was cut off; name an empty one", err)
	case err != nil:
		return fmt.Errorf("the copy was cut off: %w; run the same line again, it begins anew", err)
	case c.JSON:
		return printJSON(std.out, counts)
	}
	_, err = fmt.Fprintf(std.out, "Copied and counted: %d users, %d sessions, %d keys, %d signing keys.\n", counts.Users, counts.Sessions, counts.Keys, counts.SigningKeys)
	return err
}

// progress is one line that is written anew.
type progress struct {
	out   interface{ Write([]byte) (int, error) }
	last  time.Time
	shown bool
}

func newProgress(out interface{ Write([]byte) (int, error) }) *progress { return &progress{out: out} }

// show says how far the work is, a few times a second.
func (p *progress) show(what string, done, total int64) {
	if done < total && time.Since(p.last) < 200*time.Millisecond {
		return
	}
	p.last, p.shown = time.Now(), true
	fmt.Fprintf(p.out, "\r%-12s %d of %d ", what, done, total)
}

func (p *progress) end() {
	if p.shown {
		fmt.Fprintln(p.out)
	}
}
