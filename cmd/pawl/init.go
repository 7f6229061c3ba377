package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/password"
)

type initCmd struct {
	Config string `placeholder:"FILE" help:"JSON file of settings."`
	Data   string `default:"${data}" placeholder:"DIR" help:"Data folder."`
	Login  string `required:"" help:"Login of the administrator, a mail address."`
	JSON   bool   `name:"json" help:"Print JSON."`

	storeSettings `embed:""`
	settings      `embed:""`
}

func (c *initCmd) Help() string {
	return `Example:
  pawl init --login admin@example.com --data /var/lib/pawl

The password and the API key are printed once; keep them.`
}

// check returns the settings as the configuration of an App. The error has all problems.
func (c *initCmd) check() (app.Config, error) {
	config, err := c.app(c.Data)
	return config, errors.Join(c.storeSettings.apply(&config), err)
}

func (c *initCmd) Run(ctx context.Context, std stdio) (err error) {
	config, err := c.check()
	if err != nil {
		return err
	}
	a, err := app.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	store := "the data folder " + c.Data
	next := "pawl serve --data " + c.Data
	if config.Store.Kind() == app.Postgres {
		store = "the store " + config.Store.String()
		next = "pawl serve, with the same PAWL_STORE and master key, on every node"
	}
	roots, err := a.Store.ListUsers(ctx, authority.UserFilter{Level: authority.Root, Limit: 1})
	if err != nil {
		return err
	}
	if len(roots) > 0 {
		return fmt.Errorf("%s already has an administrator; sign in as %s to create others", store, roots[0].Login)
	}
	secret := password.Generate(24)
	user, key, err := a.Authority.Bootstrap(ctx, authority.User{
		Login: c.Login, Email: c.Login, Level: authority.Root, Status: authority.Active,
		Tenant: authority.Tenant{NetworkID: 1, MailboxID: 1},
	}, secret)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(std.out, map[string]string{"login": user.Login, "password": secret, "apiKey": key})
	}
	_, err = fmt.Fprintf(std.out, `login     %s
password  %s
apiKey    %s

Keep them; they are not shown again. Next: %s
`, user.Login, secret, key, next)
	return err
}
