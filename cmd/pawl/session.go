package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"unicode"

	"github.com/pawlauth/pawl/api"
)

type sessionCmd struct {
	List sessionListCmd `cmd:"" help:"List the sessions of a user, or of all users."`
	Open sessionOpenCmd `cmd:"" help:"Open a session for a user authenticated elsewhere."`
	End  sessionEndCmd  `cmd:"" help:"End one session."`
}

type sessionListCmd struct {
	remote `embed:""`
	User   string `arg:"" optional:"" help:"Login or id. Without it, the user of the API key."`
	All    bool   `help:"List the sessions of all users that you administer."`
}

func (*sessionListCmd) Help() string {
	return `Example:
  pawl session list ada@example.com
  pawl session list --all --json`
}

func (c *sessionListCmd) Run(ctx context.Context, std stdio) error {
	query := api.SessionsRequest{All: c.All}
	switch {
	case c.All && c.User != "":
		return usagef("name a user or give --all, not both")
	case c.User != "":
		user, err := c.findUser(ctx, c.User)
		if err != nil {
			return err
		}
		query.UserID = &user.UserID
	}
	sessions := []api.Session{}
	for session, err := range c.server.AllSessions(ctx, query) {
		if err != nil {
			return err
		}
		sessions = append(sessions, session)
	}
	heading := "SESSION\tUSER\tCREATED\tREFRESHED\tREFRESHES\tEXPIRES\tIP\tDEVICE\tUSER AGENT"
	return printTable(std, c.JSON, sessions, heading, func(s api.Session) string {
		refreshed := "-"
		if s.LastRefreshed != nil {
			refreshed = s.LastRefreshed.String()
		}
		return fmt.Sprintf("%s\t%d\t%s\t%s\t%d\t%s\t%s\t%s\t%s", s.SessionID, s.UserID, s.Created, refreshed,
			s.Refreshes, s.ExpiresAt, cmp.Or(s.IP, "-"), cell(s.Device), cell(s.UserAgent))
	})
}

// cell returns text from a client as a cell of a table. The text may have characters that a terminal would interpret.
func cell(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	return cmp.Or(text, "-")
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
