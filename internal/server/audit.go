package server

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/token"
)

func (s *Server) events(ctx context.Context, r request, _ none) (response, error) {
	filter, page, err := eventFilter(r.http.URL.RawQuery)
	if err != nil {
		return response{}, err
	}
	events, err := s.authority.Events(ctx, r.caller, filter, page)
	list := make([]api.Event, len(events))
	for i, e := range events {
		list[i] = wireEvent(e)
	}
	return ok(list), err
}

func wireEvent(e audit.Event) api.Event {
	out := api.Event{EventID: e.ID, Time: wireTime(e.At), Kind: api.EventKind(e.Kind), Address: e.Address, RequestID: e.Request, Detail: e.Detail}
	if e.User != 0 {
		out.UserID = &e.User
	}
	if e.Caller != 0 {
		out.CallerID = &e.Caller
	}
	if e.Session != (token.SessionID{}) {
		out.SessionID = new(e.Session.String())
	}
	return out
}

// eventFilter reads a query; its names match without regard to case, as those
// of a body, and unknown ones are ignored.
func eventFilter(query string) (f audit.Filter, page int64, err error) {
	f.Limit, page = 25, 1
	values, err := url.ParseQuery(query)
	if err != nil {
		return f, 0, invalid("The query cannot be read; write it as name=value&name=value.")
	}
	for name, all := range values {
		if err := eventField(&f, &page, strings.ToLower(name), all[0]); err != nil || len(all) > 1 {
			if err == nil {
				err = invalid("A name in the query is there twice; send it once.")
			}
			return f, 0, err
		}
	}
	return f, page, nil
}

func eventField(f *audit.Filter, page *int64, name, value string) (err error) {
	number := func(as string, into *int64) error {
		n, err := strconv.ParseInt(value, 10, 64)
		if *into = n; err != nil || n <= 0 {
			return invalid(as + " must be a positive integer.")
		}
		return nil
	}
	moment := func(as string, into *int64) error {
		var t api.Time
		if t.UnmarshalText([]byte(value)) != nil {
			return invalid(as + " must be a time such as 2026-05-07T20:00:00Z.")
		}
		*into = t.Unix()
		return nil
	}
	switch name {
	case "userid":
		return number("userId", &f.User)
	case "pageno":
		return number("pageNo", page)
	case "recordsperpage":
		return number("recordsPerPage", &f.Limit)
	case "from":
		return moment("from", &f.From)
	case "to":
		return moment("to", &f.To)
	case "kind":
		f.Kind, err = audit.ParseKind("kind", value)
	case "sessionid":
		var valid bool
		if f.Session, valid = token.ParseSessionID(value); !valid {
			err = invalid("sessionId is not of the form of a session's id.")
		}
	}
	return err
}
