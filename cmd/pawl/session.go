package main

import (
	"context"
	"fmt"

	"github.com/pawlauth/pawl/api"
)

type sessionCmd struct {
	List sessionListCmd `cmd:"" help:"List the sessions of a user."`
	End  sessionEndCmd  `cmd:"" help:"End one session."`
}

type sessionListCmd struct {
	remoteUser `embed:""`
}

func (*sessionListCmd) Help() string { return "Example:\n  pawl session list ada@example.com" }

func (c *sessionListCmd) Run(ctx context.Context, std stdio) error {
	id, err := c.userID(ctx)
	if err != nil {
		return err
	}
	sessions, err := c.server.Sessions(ctx, api.SessionsRequest{UserID: &id})
	if err != nil {
		return err
	}
	return printTable(std, c.JSON, sessions, "SESSION\tCREATED\tEXPIRES\tREFRESHES\tIP", func(s api.Session) string {
		return fmt.Sprintf("%s\t%s\t%s\t%d\t%s", s.SessionID, s.Created, s.ExpiresAt, s.Refreshes, s.IP)
	})
}

type sessionEndCmd struct {
	remote `embed:""`
	ID     string `arg:"" help:"Id of the session."`
}

func (*sessionEndCmd) Help() string { return "Example:\n  pawl session end bVZ3aGlsZSBubyBvbmUgcg" }

func (c *sessionEndCmd) Run(ctx context.Context, std stdio) error {
	if err := c.server.EndSession(ctx, c.ID); err != nil {
		return err
	}
	return c.confirm(std, "The session has ended.")
}
