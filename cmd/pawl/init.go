package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/password"
)

type initCmd struct {
	Config string `placeholder:"FILE" help:"JSON file of settings."`
	Data   string `default:"${data}" placeholder:"DIR" help:"Data folder."`
	Login  string `required:"" help:"Login of the administrator, a mail address."`
	JSON   bool   `name:"json" help:"Print JSON."`

	PasswordFile string `placeholder:"FILE" help:"File with the password of the administrator; create no API key."`
	IfMissing    bool   `help:"Succeed and change nothing if the store has an administrator already."`

	storeSettings `embed:""`
	settings      `embed:""`
}

func (c *initCmd) Help() string {
	return `Example:
  pawl init --login admin@example.com --data /var/lib/pawl

The password and the API key are printed once; keep them. With --password-file, nothing secret is printed, because
the log of a job keeps what it prints. Such a job can run again at any time:
  pawl init --login admin@example.com --password-file /run/secrets/admin-password --if-missing`
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
	if len(roots) > 0 && c.IfMissing {
		return c.report(std, roots[0].Login, nil, "Nothing to do: "+store+" has an administrator already.")
	}
	if len(roots) > 0 {
		return fmt.Errorf("%s already has an administrator; sign in as %s to create others", store, roots[0].Login)
	}
	secret, err := c.password(config.Rules)
	if err != nil {
		return err
	}
	user, err := a.Authority.CreateFirstAdministrator(ctx, c.Login, secret, "")
	if err != nil {
		return err
	}
	if c.PasswordFile != "" {
		return c.report(std, user.Login, nil, "The password is the one in "+c.PasswordFile+". Next: "+next)
	}
	key, err := a.Authority.GeneratePrimaryAPIKey(ctx, authority.Caller{User: user}, user.ID)
	if err != nil {
		return err
	}
	return c.report(std, user.Login, []string{secret, key}, "Keep them; they are not shown again. Next: "+next)
}

// password returns the password of the administrator: the line in the file, or else a new one.
func (c *initCmd) password(rules password.Rules) (string, error) {
	if c.PasswordFile == "" {
		return password.Generate(24), nil
	}
	text, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return "", badSetting("password-file", "names a file that cannot be read: %w", err)
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if err := rules.Check(secret); err != nil {
		return "", badSetting("password-file", "names a file whose password %w", err)
	}
	return secret, nil
}

// report prints the login of the administrator, and the password and the API key if there are new ones.
func (c *initCmd) report(std stdio, login string, secrets []string, note string) error {
	if c.JSON {
		fields := map[string]string{"login": login}
		if len(secrets) > 0 {
			fields["password"], fields["apiKey"] = secrets[0], secrets[1]
		}
		return printJSON(std.out, fields)
	}
	text := "login     " + login + "\n"
	if len(secrets) > 0 {
		text += "password  " + secrets[0] + "\napiKey    " + secrets[1] + "\n"
	}
	_, err := io.WriteString(std.out, text+"\n"+note+"\n")
	return err
}
