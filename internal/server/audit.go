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

func (s *server) events(ctx context.Context, r request, _ none) (response, error) {
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
	out := api.Event{
		EventID: e.ID, Time: wireTime(e.At), Kind: api.EventKind(e.Kind), Address: e.Address, RequestID: e.Request,
		Detail: e.Detail,
	}
	if e.User != 0 {
		out.UserID = &e.User
	}
	if e.Caller != 0 {
		out.CallerID = &e.Caller
	}
	if e.Actor != 0 {
		out.ActorID = &e.Actor
	}
	if e.Session != (token.SessionID{}) {
		out.SessionID = new(e.Session.String())
	}
	return out
}

// eventFilter parses a query. The names match without regard to case, like those of a body, and unknown names are
// ignored.
func eventFilter(query string) (f audit.Filter, page int64, err error) {
	f.Limit, page = 25, 1
	values, err := url.ParseQuery(query)
	if err != nil {
		return f, 0, invalid("The query is malformed; write it as name=value&name=value.")
	}
	for name, all := range values {
		if err := eventField(&f, &page, strings.ToLower(name), all[0]); err != nil {
			return f, 0, err
		}
		if len(all) > 1 {
			return f, 0, invalid("A name occurs twice in the query; send it once.")
		}
	}
	return f, page, nil
}

func eventField(f *audit.Filter, page *int64, name, value string) (err error) {
	switch name {
	case "userid":
		f.User, err = positive("userId", value)
	case "pageno":
		*page, err = positive("pageNo", value)
	case "recordsperpage":
		f.Limit, err = positive("recordsPerPage", value)
	case "after":
		f.After, err = eventID("after", value)
	case "from":
		f.From, err = unixTime("from", value)
	case "to":
		f.To, err = unixTime("to", value)
	case "kind":
		f.Kind, err = audit.ParseKind("kind", value)
	case "sessionid":
		var valid bool
		f.Session, valid = token.ParseSessionID(value)
		if !valid || f.Session == (token.SessionID{}) { // the zero value would match every event
			err = invalid("sessionId is not a session id.")
		}
	}
	return err
}

func positive(field, value string) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n <= 0 {
		return 0, invalid(field + " must be a positive integer.")
	}
	return n, nil
}

// eventID parses the id of an event. The id 0 is before the first event.
func eventID(field, value string) (*int64, error) {
	id, err := strconv.ParseInt(value, 10, 64)
	if err != nil || id < 0 {
		return nil, invalid(field + " must be 0 or the eventId of an event.")
	}
	return &id, nil
}

func unixTime(field, value string) (int64, error) {
	var t api.Time
	if t.UnmarshalText([]byte(value)) != nil {
		return 0, invalid(field + " must be a time such as 2026-05-07T20:00:00Z.")
	}
	return t.Unix(), nil
}
