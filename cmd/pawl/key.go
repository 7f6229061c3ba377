package main

import (
	"context"
	"fmt"
	"time"

	"github.com/pawlauth/pawl/api"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Create an API key for a user and print it, once."`
	List   keyListCmd   `cmd:"" help:"List the API keys of a user."`
	Remove keyRemoveCmd `cmd:"" help:"Remove an API key."`
}

func printKeys(std stdio, asJSON bool, keys ...api.APIKey) error {
	const heading = "ID\tUSER\tKEY\tVISIBILITY\tCREATED\tSCOPE\tEXPIRES\tNAME"
	return printTable(std, asJSON, keys, heading, func(k api.APIKey) string {
		scope, expires := string(k.Scope), "-"
		if k.MaxLevel != "" {
			scope += " " + string(k.MaxLevel)
		}
		if k.ExpiresAt != nil {
			expires = k.ExpiresAt.String()
		}
		return fmt.Sprintf("%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s",
			k.KeyID, k.UserID, k.Key, k.Visibility, k.Created, scope, expires, cell(k.Name))
	})
}

type keyCreateCmd struct {
	remoteUser `embed:""`
	Visibility api.Visibility `default:"Private" enum:"Private,Shared,Public" help:"Visibility (${enum})."`
	Scope      api.Scope      `default:"Full" enum:"Full,Verify,OpenSessions" help:"What the key may do (${enum})."`
	MaxLevel   api.Level      `help:"Highest level of a user whose session an OpenSessions key opens [MailboxUser]."`
	Name       string         `help:"Note for lists of keys."`
	Expires    string         `placeholder:"TIME" help:"When the key stops working: a time, or 90d from now [never]."`
}

func (*keyCreateCmd) Help() string {
	return `Example:
  pawl key create gateway@example.com --scope Verify --name gateway --expires 365d

A Full key acts as its user. A Verify key checks tokens, and an OpenSessions key opens sessions of other users; both
may do nothing else.`
}

func (c *keyCreateCmd) Run(ctx context.Context, std stdio) error {
	id, err := c.userID(ctx)
	if err != nil {
		return err
	}
	request := api.CreateAPIKeyRequest{
		UserID: id, Visibility: c.Visibility, Scope: c.Scope, MaxLevel: c.MaxLevel, Name: c.Name,
	}
	if request.ExpiresAt, err = c.expiry(); err != nil {
		return err
	}
	key, err := c.server.CreateAPIKey(ctx, request)
	if err != nil {
		return err
	}
	return printKeys(std, c.JSON, key)
}

// expiry returns the value of --expires, or nil if there is none.
func (c *keyCreateCmd) expiry() (*api.Time, error) {
	if c.Expires == "" {
		return nil, nil
	}
	if life, err := parseDuration(c.Expires); err == nil {
		return new(api.NewTime(time.Now().Add(life))), nil
	}
	t := new(api.Time)
	if t.UnmarshalText([]byte(c.Expires)) != nil {
		return nil, badSetting("expires", "must be a time such as 2027-05-07T20:00:00Z, or a duration such as 90d")
	}
	return t, nil
}

type keyListCmd struct {
	remoteUser `embed:""`
}

func (*keyListCmd) Help() string { return "Example:\n  pawl key list ada@example.com" }

func (c *keyListCmd) Run(ctx context.Context, std stdio) error {
	id, err := c.userID(ctx)
	if err != nil {
		return err
	}
	keys, err := c.server.ListAPIKeys(ctx, api.ListAPIKeysRequest{UserID: id})
	if err != nil {
		return err
	}
	return printKeys(std, c.JSON, keys...)
}

type keyRemoveCmd struct {
	remote `embed:""`
	ID     int64 `arg:"" help:"Id of the API key."`
}

func (*keyRemoveCmd) Help() string { return "Example:\n  pawl key remove 12" }

func (c *keyRemoveCmd) Run(ctx context.Context, std stdio) error {
	if err := c.server.DeleteAPIKey(ctx, c.ID); err != nil {
		return err
	}
	return c.confirm(std, "The API key is removed.")
}
