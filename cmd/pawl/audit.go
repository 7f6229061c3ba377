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
	User    string        `help:"Show events of this user only (login or id)."`
	Kind    api.EventKind `help:"Show events of this kind only, such as loginFailed."`
	Session string        `help:"Show events of this session only."`
	From    string        `placeholder:"TIME" help:"Show no events before this time (2026-05-07T20:00:00Z)."`
	To      string        `placeholder:"TIME" help:"Show no events after this time."`
	Limit   int64         `default:"50" help:"Number of events, at most 500."`
	Follow  bool          `help:"Keep printing new events; with --json, one on each line."`
}

func (*auditCmd) Help() string {
	return `Example:
  pawl audit --kind loginFailed --from 2026-05-07T20:00:00Z
  pawl audit --follow --json`
}

func (c *auditCmd) Run(ctx context.Context, std stdio) error {
	request, err := c.request(ctx)
	if err != nil {
		return err
	}
	events, err := c.server.Audit(ctx, request)
	if err != nil {
		return err
	}
	slices.Reverse(events) // the newest last, as in a log
	if c.Follow {
		return c.follow(ctx, std, request, events)
	}
	return printTable(std, c.JSON, events, "TIME\tKIND\tUSER\tCALLER\tADDRESS\tSESSION\tDETAIL", eventRow)
}

func (c *auditCmd) request(ctx context.Context) (api.AuditRequest, error) {
	r := api.AuditRequest{Kind: c.Kind, SessionID: c.Session, PageNo: 1, RecordsPerPage: c.Limit}
	if c.Limit < 1 || c.Limit > 500 {
		return r, usagef("--limit must be from 1 to 500")
	}
	if err := parseTime("from", c.From, &r.From); err != nil {
		return r, err
	}
	if err := parseTime("to", c.To, &r.To); err != nil {
		return r, err
	}
	if c.User != "" {
		user, err := c.findUser(ctx, c.User)
		if err != nil {
			return r, err
		}
		r.UserID = user.UserID
	}
	return r, nil
}

// parseTime parses the value of a flag, unless it is empty.
func parseTime(flag, value string, t *api.Time) error {
	if value != "" && t.UnmarshalText([]byte(value)) != nil {
		return usagef("--%s must be a time such as 2026-05-07T20:00:00Z", flag)
	}
	return nil
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
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s",
		e.Time, e.Kind, id(e.UserID), id(e.CallerID), cmp.Or(e.Address, "-"), session, e.Detail)
}

const (
	followInterval = time.Second
	// followOverlap is how far each query reaches back, because nodes add their events with a delay.
	followOverlap = 15 * time.Second
)

// follow prints the events, and then new ones until ctx ends. The queries overlap, so a repeated event is recognized by
// its id.
func (c *auditCmd) follow(ctx context.Context, std stdio, r api.AuditRequest, events []api.Event) error {
	printed := map[int64]api.Time{}
	tick := time.NewTicker(followInterval)
	defer tick.Stop()
	for {
		for _, e := range events {
			if _, ok := printed[e.EventID]; ok {
				continue
			}
			printed[e.EventID] = e.Time
			if from := e.Time.Add(-followOverlap); from.After(r.From.Time) {
				r.From = api.NewTime(from)
			}
			if err := c.printEvent(std, e); err != nil {
				return err
			}
		}
		for id, at := range printed {
			if at.Before(r.From.Time) {
				delete(printed, id)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		var err error
		if events, err = c.allEvents(ctx, r); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func (c *auditCmd) printEvent(std stdio, e api.Event) error {
	if c.JSON {
		return json.NewEncoder(std.out).Encode(e)
	}
	_, err := fmt.Fprintln(std.out, eventRow(e))
	return err
}

// allEvents returns the events of all pages, the oldest first. Without a start time it reads only one page.
func (c *auditCmd) allEvents(ctx context.Context, r api.AuditRequest) ([]api.Event, error) {
	const pageSize = 500
	var all []api.Event
	for r.RecordsPerPage = pageSize; ; r.PageNo++ {
		page, err := c.server.Audit(ctx, r)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < pageSize || r.From.IsZero() {
			slices.Reverse(all)
			return all, nil
		}
	}
}
