package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/pawlauth/pawl/api"
)

type receiverCmd struct {
	Add    receiverAddCmd    `cmd:"" help:"Push a security event token to a URL whenever a session ends."`
	List   receiverListCmd   `cmd:"" help:"List the receivers, with their last errors."`
	Remove receiverRemoveCmd `cmd:"" help:"Remove a receiver."`
	Test   receiverTestCmd   `cmd:"" help:"Push a test token to a receiver, once."`
}

func printReceivers(std stdio, asJSON bool, receivers ...api.Receiver) error {
	const heading = "ID\tURL\tAUDIENCE\tDELIVERED\tREJECTED\tFAILURES\tPENDING SINCE\tLAST ERROR"
	return printTable(std, asJSON, receivers, heading, func(r api.Receiver) string {
		pending := "-"
		if r.PendingSince != nil {
			pending = r.PendingSince.String()
		}
		lastError := "-"
		if r.LastErrorAt != nil {
			lastError = r.LastErrorAt.String() + " " + r.LastError
		}
		return fmt.Sprintf("%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s", r.ReceiverID, r.URL, cell(r.Audience), r.Delivered,
			r.Rejected, r.Failures, pending, cell(lastError))
	})
}

type receiverAddCmd struct {
	remote        `embed:""`
	Address       string `arg:"" help:"URL at which the receiver accepts tokens; https."`
	Audience      string `help:"Audience (aud) of the tokens; by default the URL."`
	Authorization bool   `help:"Read the Authorization header of each delivery from standard input."`
}

func (*receiverAddCmd) Help() string {
	return `From now on, the receiver gets a session-revoked event (OpenID CAEP) for each session that ends before it
expires. It verifies the tokens with /.well-known/jwks.json, so the server needs an --algorithm other than HS256.

Example:
  pawl receiver add https://receiver.example.com/events --audience https://receiver.example.com
  pawl receiver add https://receiver.example.com/events --authorization < header.txt`
}

func (c *receiverAddCmd) Run(ctx context.Context, std stdio) error {
	request := api.AddReceiverRequest{URL: c.Address, Audience: c.Audience}
	if c.Authorization {
		var err error
		if request.Authorization, err = readSecret(ctx, std, "value of the Authorization header"); err != nil {
			return err
		}
	}
	receiver, err := c.server.AddReceiver(ctx, request)
	if err != nil {
		return err
	}
	return printReceivers(std, c.JSON, receiver)
}

type receiverListCmd struct {
	remote `embed:""`
}

func (*receiverListCmd) Help() string { return "Example:\n  pawl receiver list --json" }

func (c *receiverListCmd) Run(ctx context.Context, std stdio) error {
	receivers, err := c.server.Receivers(ctx)
	if err != nil {
		return err
	}
	return printReceivers(std, c.JSON, receivers...)
}

type receiverRemoveCmd struct {
	remote `embed:""`
	ID     string `arg:"" help:"Id of the receiver, from \"pawl receiver list\"."`
}

func (*receiverRemoveCmd) Help() string { return "Example:\n  pawl receiver remove q7x2m4k6p3wd" }

func (c *receiverRemoveCmd) Run(ctx context.Context, std stdio) error {
	if err := c.server.RemoveReceiver(ctx, c.ID); err != nil {
		return err
	}
	return c.confirm(std, "The receiver is removed. What it has not accepted yet is not delivered.")
}

type receiverTestCmd struct {
	remote `embed:""`
	ID     string `arg:"" help:"Id of the receiver, from \"pawl receiver list\"."`
}

func (*receiverTestCmd) Help() string {
	return `The token has a verification event, which ends no session.

Example:
  pawl receiver test q7x2m4k6p3wd`
}

func (c *receiverTestCmd) Run(ctx context.Context, std stdio) error {
	result, err := c.server.TestReceiver(ctx, c.ID)
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(std.out, result)
	} else if result.Accepted {
		_, err = fmt.Fprintln(std.out, "The receiver has accepted the token.")
	}
	if !result.Accepted {
		err = cmp.Or(err, fmt.Errorf("the token was not delivered: %s", result.Problem))
	}
	return err
}
