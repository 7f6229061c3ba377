package main

import "context"

type refreshCmd struct {
	remote `embed:""`
}

func (*refreshCmd) Help() string { return "Example:\n  pawl refresh < token.txt > token.new" }

func (c *refreshCmd) Run(ctx context.Context, std stdio) error {
	current, err := readSecret(ctx, std, "token")
	if err != nil {
		return err
	}
	next, err := c.server.Refresh(ctx, current)
	if err != nil {
		return err
	}
	return printToken(std, c.JSON, next)
}
