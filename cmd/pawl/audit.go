package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/pawlauth/pawl/api"
)

type auditCmd struct {
	remote  `embed:""`
	User    string        `help:"Only about this user: login, or id."`
	Kind    api.EventKind `help:"Only of this kind, such as loginFailed."`
	Session string        `help:"Only about this session."`
	From    string        `placeholder:"TIME" help:"Not before this time (2026-05-07T20:00:00Z)."`
	To      string        `placeholder:"TIME" help:"Not after this time."`
	Limit   int64         `default:"50" help:"How many, at most 500."`
	Follow  bool          `help:"Go on with what happens; --json then prints one event a line."`
}

func (*auditCmd) Help() string {
	return "Example:\n  pawl audit --kind loginFailed --from 2026-05-07T20:00:00Z\n  pawl audit --follow --json"
}

func (c *auditCmd) Run(ctx context.Context, std stdio) error {
	request, err := c.request(ctx)
	if err != nil {
		return err
	}
	events, err := c.server().Audit(ctx, request)
	if err != nil {
		return err
	}
	slices.Reverse(events) // the newest last, as in a log
	if c.Follow {
		return c.follow(ctx, std, request, events)
	}
	return table(std, c.JSON, events, "TIME\tKIND\tUSER\tCALLER\tADDRESS\tSESSION\tDETAIL", eventRow)
}

func (c *auditCmd) request(ctx context.Context) (r api.AuditRequest, err error) {
	r = api.AuditRequest{Kind: c.Kind, SessionID: c.Session, PageNo: 1, RecordsPerPage: c.Limit}
	if c.Limit < 1 || c.Limit > 500 {
		return r, usagef("--limit must be from 1 to 500")
	}
	for _, t := range []struct {
		name, value string
		into        *api.Time
	}{{"from", c.From, &r.From}, {"to", c.To, &r.To}} {
		if t.value != "" && t.into.UnmarshalText([]byte(t.value)) != nil {
			return r, usagef("--%s must be a time such as 2026-05-07T20:00:00Z", t.name)
		}
	}
	if c.User != "" {
		r.UserID, err = c.userID(ctx, c.User)
	}
	return r, err
}

func eventRow(e api.Event) string {
	id := func(p *int64) string {
		if p == nil {
			return "-"
		}
		return strconv.FormatInt(*p, 10)
	}
	session := "-"
	if e.SessionID != nil {
		session = *e.SessionID
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s", e.Time, e.Kind, id(e.UserID), id(e.CallerID), cmp.Or(e.Address, "-"), session, e.Detail)
}

const (
	followEvery = time.Second
	// followBack is how far each look goes back: nodes add their events a
	// moment after they happened.
	followBack = 15 * time.Second
)

// follow prints events until ctx ends; those that were seen are told by id.
func (c *auditCmd) follow(ctx context.Context, std stdio, r api.AuditRequest, events []api.Event) error {
	seen := map[int64]api.Time{}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		for _, e := range events {
			if _, old := seen[e.EventID]; old {
				continue
			}
			seen[e.EventID] = e.Time
			if from := e.Time.Add(-followBack); from.After(r.From.Time) {
				r.From = api.NewTime(from)
			}
			if err := c.line(std, e); err != nil {
				return err
			}
		}
		for id, at := range seen {
			if at.Before(r.From.Time) {
				delete(seen, id)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var err error
		if events, err = c.all(ctx, r); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// all reads every page, and gives the oldest event first.
func (c *auditCmd) all(ctx context.Context, r api.AuditRequest) (all []api.Event, err error) {
	for r.RecordsPerPage = 500; ; r.PageNo++ {
		page, err := c.server().Audit(ctx, r)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < 500 || r.From.IsZero() {
			slices.Reverse(all)
			return all, nil
		}
	}
}

func (c *auditCmd) line(std stdio, e api.Event) (err error) {
	if c.JSON {
		return json.NewEncoder(std.out).Encode(e)
	}
	_, err = fmt.Fprintln(std.out, eventRow(e))
	return err
}
