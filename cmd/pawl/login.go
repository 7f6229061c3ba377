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
	return "The password comes from PAWL_PASSWORD, or from standard input, as it does where PAWL_LOGIN is another login.\n\nExample:\n  pawl login --login ada@example.com < password.txt"
}

func (c *loginCmd) Run(ctx context.Context, std stdio) error {
	var err error
	named := os.Getenv("PAWL_LOGIN")
	if c.Passwd == "" || named != "" && named != c.Login { // the variables of pawl dev go together
		if c.Passwd, err = readSecret(ctx, std.in, "password"); err != nil {
			return err
		}
	}
	got, err := c.server().Login(ctx, c.Login, c.Passwd)
	return c.showToken(std, got, err)
}

type refreshCmd struct {
	remote `embed:""`
}

func (*refreshCmd) Help() string { return "Example:\n  pawl refresh < token.txt > token.new" }

func (c *refreshCmd) Run(ctx context.Context, std stdio) error {
	text, err := readSecret(ctx, std.in, "token")
	if err != nil {
		return err
	}
	got, err := c.server().Refresh(ctx, text)
	return c.showToken(std, got, err)
}

// showToken prints the token that a call gives.
func (r remote) showToken(std stdio, got api.Token, err error) error {
	if err != nil {
		return err
	}
	if r.JSON {
		return printJSON(std.out, got)
	}
	_, err = fmt.Fprintln(std.out, got.Token)
	return err
}

// readSecret reads one line; what names it in an error.
func readSecret(ctx context.Context, in io.Reader, what string) (string, error) {
	input := untilDone(ctx, in)
	defer input.Close()
	line, err := bufio.NewReader(io.LimitReader(input, api.MaxBodyBytes)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("standard input cannot be read: %w", err)
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", usagef("send the %s on standard input, as one line", what)
	}
	return line, nil
}
