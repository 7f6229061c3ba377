package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/pawlauth/pawl/api"
)

type signingKeyCmd struct {
	List   signingKeyListCmd   `cmd:"" help:"List the signing keys and their states."`
	Rotate signingKeyRotateCmd `cmd:"" help:"Publish a new signing key; it signs after the --key-lead of the server."`
	Retire signingKeyRetireCmd `cmd:"" help:"Retire a signing key whose tokens have expired."`
}

func printSigningKeys(std stdio, asJSON bool, keys ...api.SigningKey) error {
	const heading = "ID\tALGORITHM\tSTATE\tPUBLISHED\tSIGNS FROM\tRETIRABLE FROM\tRETIRED"
	orDash := func(t *api.Time) string {
		if t == nil {
			return "-"
		}
		return t.String()
	}
	return printTable(std, asJSON, keys, heading, func(k api.SigningKey) string {
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s", k.KeyID, cmp.Or(k.Algorithm, "-"), k.State,
			orDash(k.Published), orDash(k.SignsFrom), orDash(k.RetirableFrom), orDash(k.Retired))
	})
}

type signingKeyListCmd struct {
	remote `embed:""`
}

func (*signingKeyListCmd) Help() string { return "Example:\n  pawl signing-key list --json" }

func (c *signingKeyListCmd) Run(ctx context.Context, std stdio) error {
	keys, err := c.server.SigningKeys(ctx)
	if err != nil {
		return err
	}
	return printSigningKeys(std, c.JSON, keys...)
}

type signingKeyRotateCmd struct {
	remote `embed:""`
}

func (*signingKeyRotateCmd) Help() string {
	return `Before the new key signs, every node has loaded it, and /.well-known/jwks.json lists it.
The previous key still verifies its tokens.

Example:
  pawl signing-key rotate`
}

func (c *signingKeyRotateCmd) Run(ctx context.Context, std stdio) error {
	key, err := c.server.RotateSigningKey(ctx)
	if err != nil {
		return err
	}
	return printSigningKeys(std, c.JSON, key)
}

type signingKeyRetireCmd struct {
	remote `embed:""`
	ID     string `arg:"" help:"Id of the signing key, from \"pawl signing-key list\"."`
	Now    bool   `help:"Retire a leaked key at once. Its tokens are rejected, and if it signs, a new key replaces it."`
	Yes    bool   `help:"With --now, do not ask first."`
}

func (*signingKeyRetireCmd) Help() string {
	return `With --now, the command asks first, and a script needs --yes. An id may begin with a hyphen, so put it last, after
"--".

Example:
  pawl signing-key retire -- oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U
  pawl signing-key retire --now -- oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U`
}

func (c *signingKeyRetireCmd) Run(ctx context.Context, std stdio) error {
	question := "This rejects every token of the key at once, so that their users have to sign in again."
	if err := askFirst(ctx, std, c.Yes || !c.Now, question); err != nil {
		return err
	}
	if err := c.server.RetireSigningKey(ctx, api.RetireSigningKeyRequest{KeyID: c.ID, Now: c.Now}); err != nil {
		return err
	}
	return c.confirm(std, "The signing key is retired. Its tokens are rejected.")
}
