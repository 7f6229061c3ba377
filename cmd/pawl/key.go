package main

import (
	"context"
	"fmt"

	"github.com/pawlauth/pawl/api"
)

type keyCmd struct {
	Create keyCreateCmd `cmd:"" help:"Create an API key for a user and print it, once."`
	List   keyListCmd   `cmd:"" help:"List the API keys of a user."`
	Remove keyRemoveCmd `cmd:"" help:"Remove an API key."`
}

func printKeys(std stdio, asJSON bool, keys ...api.APIKey) error {
	return printTable(std, asJSON, keys, "ID\tUSER\tKEY\tVISIBILITY\tCREATED", func(k api.APIKey) string {
		return fmt.Sprintf("%d\t%d\t%s\t%s\t%s", k.KeyID, k.UserID, k.Key, k.Visibility, k.Created)
	})
}

type keyCreateCmd struct {
	remoteUser `embed:""`
	Visibility api.Visibility `default:"Private" enum:"Private,Shared,Public" help:"Visibility (${enum})."`
}

func (*keyCreateCmd) Help() string { return "Example:\n  pawl key create ada@example.com --json" }

func (c *keyCreateCmd) Run(ctx context.Context, std stdio) error {
	id, err := c.userID(ctx)
	if err != nil {
		return err
	}
	key, err := c.server.CreateAPIKey(ctx, api.CreateAPIKeyRequest{UserID: id, Visibility: c.Visibility})
	if err != nil {
		return err
	}
	return printKeys(std, c.JSON, key)
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
