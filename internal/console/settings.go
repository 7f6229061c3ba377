package console

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority"
)

// Setting is an effective setting of the server, as pawl config shows it. It has no secret.
type Setting struct{ Name, Value, Source string }

// showSettings shows the settings. They concern all tenants, so the page is for the levels that administer all of them.
func (c *Console) showSettings(_ context.Context, r *request) (response, error) {
	if r.caller.User.Level > authority.NetOps {
		return response{}, errNotAdmin
	}
	return response{page: "settings", title: t("settings.title"), data: c.settings}, nil
}
