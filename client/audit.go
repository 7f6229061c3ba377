package client

import (
	"cmp"
	"context"
	"iter"
	"net/url"
	"strconv"

	"github.com/pawlauth/pawl/api"
)

// Audit returns one page of events: newest first, or with r.After oldest first. It is for administrators; others get
// ErrAccessDenied.
func (c *Client) Audit(ctx context.Context, r api.AuditRequest) ([]api.Event, error) {
	query := url.Values{}
	for name, n := range map[string]int64{"userId": r.UserID, "pageNo": r.PageNo, "recordsPerPage": r.RecordsPerPage} {
		if n != 0 {
			query.Set(name, strconv.FormatInt(n, 10))
		}
	}
	for name, text := range map[string]string{"kind": string(r.Kind), "sessionId": r.SessionID} {
		if text != "" {
			query.Set(name, text)
		}
	}
	for name, at := range map[string]api.Time{"from": r.From, "to": r.To} {
		if !at.IsZero() {
			query.Set(name, at.String())
		}
	}
	if r.After != nil {
		query.Set("after", strconv.FormatInt(*r.After, 10))
	}
	path := "/v2/audit"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return do[[]api.Event](ctx, c, get(path))
}

// AllEvents returns an iterator over the events of Audit, oldest first: those after r.After, or all of them. It fetches
// each page when the loop reaches it, with 500 events a page unless r.RecordsPerPage is set. The first error ends the
// iteration.
func (c *Client) AllEvents(ctx context.Context, r api.AuditRequest) iter.Seq2[api.Event, error] {
	if r.After == nil {
		r.After = new(int64)
	}
	r.RecordsPerPage = cmp.Or(r.RecordsPerPage, 500)
	return func(yield func(api.Event, error) bool) {
		for r := r; ; {
			events, err := c.Audit(ctx, r)
			if err != nil {
				yield(api.Event{}, err)
				return
			}
			for _, e := range events {
				if !yield(e, nil) {
					return
				}
				r.After = new(e.EventID)
			}
			if int64(len(events)) < r.RecordsPerPage {
				return
			}
		}
	}
}
