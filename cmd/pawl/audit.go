package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
)

type auditCmd struct {
	remote  `embed:""`
	User    string        `help:"Show events of this user only (login or id)."`
	Kind    api.EventKind `help:"Show events of this kind only, such as loginFailed."`
	Session string        `help:"Show events of this session only."`
	From    string        `placeholder:"TIME" help:"Show no events before this time (2026-05-07T20:00:00Z)."`
	To      string        `placeholder:"TIME" help:"Show no events after this time."`
	After   *int64        `placeholder:"ID" help:"Show the events after the one with this id, the oldest first."`
	Limit   int64         `default:"50" help:"Number of events, at most 500."`
	Follow  bool          `help:"Keep printing new events; with --json, one on each line."`
}

func (*auditCmd) Help() string {
	return `Example:
  pawl audit --kind loginFailed --from 2026-05-07T20:00:00Z
  pawl audit --follow --json

A program that must see every event once keeps the id of its last event, and continues with --follow --after ID.`
}

func (c *auditCmd) Run(ctx context.Context, std stdio) error {
	request, err := c.request(ctx)
	if err != nil {
		return err
	}
	if c.Follow {
		return c.follow(ctx, std, request)
	}
	events, err := c.server.Audit(ctx, request)
	if err != nil {
		return err
	}
	oldestFirst(request, events)
	return printTable(std, c.JSON, events, "TIME\tKIND\tUSER\tCALLER\tADDRESS\tSESSION\tDETAIL", eventRow)
}

// oldestFirst orders the events of a response as in a log.
func oldestFirst(r api.AuditRequest, events []api.Event) {
	if r.After == nil {
		slices.Reverse(events)
	}
}

func (c *auditCmd) request(ctx context.Context) (api.AuditRequest, error) {
	r := api.AuditRequest{Kind: c.Kind, SessionID: c.Session, After: c.After, RecordsPerPage: c.Limit}
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

func eventRow(e api.Event) string { return strings.Join(eventCells(e), "\t") }

func eventCells(e api.Event) []string {
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
	return []string{
		e.Time.String(), string(e.Kind), id(e.UserID), id(e.CallerID), cmp.Or(e.Address, "-"), session, e.Detail,
	}
}

const (
	followInterval = time.Second
	followPage     = 500
	// followColumns has the widths that fit the usual values, because follow cannot know the later ones.
	followColumns = "%-20s  %-17s  %-8s  %-8s  %-15s  %-22s  %s\n"
)

// follow prints the newest events, and then new ones until ctx ends. It prints each page before it reads the next one.
// While the server is unreachable, it tries again.
func (c *auditCmd) follow(ctx context.Context, std stdio, r api.AuditRequest) error {
	if !c.JSON {
		fmt.Fprintf(std.out, followColumns, "TIME", "KIND", "USER", "CALLER", "ADDRESS", "SESSION", "DETAIL")
	}
	tick := time.NewTicker(followInterval)
	defer tick.Stop()
	for unreachable := false; ; {
		events, err := c.server.Audit(ctx, r)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && isFinal(err):
			return err
		case err != nil && !unreachable:
			fmt.Fprintf(std.err, "pawl: %v; trying again until the server answers\n", err)
		}
		unreachable = err != nil
		oldestFirst(r, events)
		for _, e := range events {
			if err := c.printEvent(std, e); err != nil {
				return err
			}
		}
		more := int64(len(events)) == r.RecordsPerPage && r.After != nil
		if err == nil {
			r.After = new(lastEvent(r, events))
			r.RecordsPerPage = followPage
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// isFinal reports whether the server has rejected a request, which will not change by itself.
func isFinal(err error) bool {
	rejected, ok := errors.AsType[*client.Error](err)
	return ok && rejected.Status >= 400 && rejected.Status < 500 && rejected.Status != http.StatusTooManyRequests
}

// lastEvent returns the id after which a follower continues.
func lastEvent(r api.AuditRequest, events []api.Event) int64 {
	var last int64
	if r.After != nil {
		last = *r.After
	}
	for _, e := range events {
		last = max(last, e.EventID)
	}
	return last
}

func (c *auditCmd) printEvent(std stdio, e api.Event) error {
	if c.JSON {
		return json.NewEncoder(std.out).Encode(e)
	}
	cells := []any{}
	for _, cell := range eventCells(e) {
		cells = append(cells, cell)
	}
	_, err := fmt.Fprintf(std.out, followColumns, cells...)
	return err
}
