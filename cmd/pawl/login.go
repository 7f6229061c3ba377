package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pawlauth/pawl/api"
)

type loginCmd struct {
	remote `embed:""`
	Login  string `required:"" help:"Login (PAWL_LOGIN)."`
	Passwd string `name:"password" hidden:"" help:"Read from PAWL_PASSWORD."`
}

func (*loginCmd) Help() string {
	return `The password comes from PAWL_PASSWORD if PAWL_LOGIN is the same login or empty, else from standard input.

Example:
  pawl login --login ada@example.com < password.txt`
}

func (c *loginCmd) Run(ctx context.Context, std stdio) error {
	password := c.Passwd
	// PAWL_LOGIN and PAWL_PASSWORD go together, for example in the dev.env of pawl dev.
	if login := os.Getenv("PAWL_LOGIN"); password == "" || login != "" && login != c.Login {
		var err error
		if password, err = readSecret(ctx, std.in, "password"); err != nil {
			return err
		}
	}
	token, err := c.server.Login(ctx, c.Login, password)
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

// readSecret reads one line. In an error, what is its name.
func readSecret(ctx context.Context, in io.Reader, what string) (string, error) {
	input := untilDone(ctx, in)
	defer input.Close()
	line, err := bufio.NewReader(io.LimitReader(input, api.MaxBodyBytes)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("cannot read standard input: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", usagef("send the %s on standard input, as one line", what)
	}
	return line, nil
}
