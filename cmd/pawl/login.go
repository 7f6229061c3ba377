package main

import (
	"cmp"
	"context"
	"fmt"
	"os"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
)

type loginCmd struct {
	remote `embed:""`
	User   string `arg:"" optional:"" help:"Login of the user."`
	Login  string `help:"The same as a flag (PAWL_LOGIN)."`
	Passwd string `name:"password" hidden:"" help:"Read from PAWL_PASSWORD."`
}

func (*loginCmd) Help() string {
	return `The password comes from PAWL_PASSWORD if PAWL_LOGIN is the same login or empty. Otherwise a terminal
asks for the password, or it is one line of standard input.

Example:
  pawl login ada@example.com < password.txt`
}

func (c *loginCmd) Run(ctx context.Context, std stdio) error {
	login := cmp.Or(c.User, c.Login)
	if login == "" {
		return usagef("the login is missing; give it as an argument, or set PAWL_LOGIN")
	}
	password := c.Passwd
	// PAWL_LOGIN and PAWL_PASSWORD belong together, for example in the dev.env of pawl dev.
	if owner := os.Getenv("PAWL_LOGIN"); password == "" || owner != "" && owner != login {
		var err error
		if password, err = readSecret(ctx, std, "password"); err != nil {
			return err
		}
	}
	server, err := client.New(c.URL) // without the API key, because the server refuses one of another scope than Full
	if err != nil {
		return err
	}
	token, err := server.Login(ctx, login, password)
	if err != nil {
		return err
	}
	return printToken(std, c.JSON, token)
}

func printToken(std stdio, asJSON bool, token api.Token) error {
	if asJSON {
		return printJSON(std.out, token)
	}
	_, err := fmt.Fprintln(std.out, token.Token)
	return err
}
