package main

import (
	"context"
	"fmt"

	"github.com/pawlauth/pawl/api"
)

type signingKeyCmd struct {
	List   signingKeyListCmd   `cmd:"" help:"List the keys that sign tokens, and what each does."`
	Rotate signingKeyRotateCmd `cmd:"" help:"Publish a new key, which signs after --key-lead of the server."`
	Retire signingKeyRetireCmd `cmd:"" help:"End a key whose tokens are over."`
}

type signingKeyListCmd struct {
	remote `embed:""`
}

func (*signingKeyListCmd) Help() string { return "Example:\n  pawl signing-key list --json" }

func (c *signingKeyListCmd) Run(ctx context.Context, std stdio) error {
	keys, err := c.server().SigningKeys(ctx)
	if err != nil {
		return err
	}
	return c.showSigningKeys(std, keys...)
}

func (r remote) showSigningKeys(std stdio, keys ...api.SigningKey) error {
	return table(std, r.JSON, keys, "ID\tALGORITHM\tSTATE\tPUBLISHED\tSIGNS FROM\tRETIRABLE FROM\tRETIRED", func(k api.SigningKey) string {
		algorithm := k.Algorithm
		if algorithm == "" {
			algorithm = "-"
		}
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s", k.KeyID, algorithm, k.State, orDash(k.Published), orDash(k.SignsFrom), orDash(k.RetirableFrom), orDash(k.Retired))
	})
}

func orDash(t *api.Time) string {
	if t == nil {
		return "-"
	}
	return t.String()
}

type signingKeyRotateCmd struct {
	remote `embed:""`
}

func (*signingKeyRotateCmd) Help() string {
	return "The new key is known to every node, and in /.well-known/jwks.json, before it signs. The old one verifies on.\n\nExample:\n  pawl signing-key rotate"
}

func (c *signingKeyRotateCmd) Run(ctx context.Context, std stdio) error {
	key, err := c.server().RotateSigningKey(ctx)
	if err != nil {
		return err
	}
	return c.showSigningKeys(std, key)
}

type signingKeyRetireCmd struct {
	remote `embed:""`
	ID     string `arg:"" help:"Id of the key, as \"pawl signing-key list\" shows it."`
	Now    bool   `help:"The key has leaked: end its tokens before their time. If it signs, a new one does so at once."`
}

func (*signingKeyRetireCmd) Help() string {
	return "An id that begins with - goes after --.\n\nExample:\n  pawl signing-key retire oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
}

func (c *signingKeyRetireCmd) Run(ctx context.Context, std stdio) error {
	if err := c.server().RetireSigningKey(ctx, api.RetireSigningKeyRequest{KeyID: c.ID, Now: c.Now}); err != nil {
		return err
	}
	return c.say(std, "The key is retired; no token of it is good.")
}
