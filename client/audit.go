package client

import (
	"context"
	"net/url"
	"strconv"

	"github.com/pawlauth/pawl/api"
)

// Audit returns one page of events, newest first. It is for administrators; others get ErrAccessDenied.
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
	path := "/v2/audit"
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return do[[]api.Event](ctx, c, get(path))
}
