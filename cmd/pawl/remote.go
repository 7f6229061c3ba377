package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
)

// remote is embedded by each command for a running server. The API key comes from the environment alone, because every
// user of the machine can read the arguments of a process.
type remote struct {
	URL    string `name:"url" default:"${url}" help:"Server (PAWL_URL); its API key is in PAWL_API_KEY."`
	APIKey string `name:"api-key" hidden:"" help:"Read from PAWL_API_KEY."`
	JSON   bool   `name:"json" help:"Print JSON."`

	server *client.Client
}

// AfterApply creates the client. kong calls it once the flags are set, so that an invalid address is a usage error.
func (r *remote) AfterApply() (err error) {
	if r.server, err = client.New(r.URL, client.WithAPIKey(r.APIKey)); err != nil {
		return badSetting("url", "is invalid: %s", strings.TrimPrefix(err.Error(), "client: "))
	}
	return nil
}

// confirm prints that the command is done.
func (r *remote) confirm(std stdio, sentence string) error {
	if r.JSON {
		return printJSON(std.out, map[string]any{"ok": true, "message": sentence})
	}
	_, err := fmt.Fprintln(std.out, sentence)
	return err
}

// remoteUser is embedded by each command about one user.
type remoteUser struct {
	remote `embed:""`
	User   string `arg:"" help:"Login or id."`
}

func (r *remoteUser) user(ctx context.Context) (api.User, error) { return r.findUser(ctx, r.User) }

func (r *remoteUser) userID(ctx context.Context) (int64, error) {
	u, err := r.user(ctx)
	return u.UserID, err
}

// findUser returns the user with a login or an id.
func (r *remote) findUser(ctx context.Context, user string) (api.User, error) {
	if id, err := strconv.ParseInt(user, 10, 64); err == nil {
		return r.server.User(ctx, id)
	}
	users, err := r.server.UsersByName(ctx, user)
	if err != nil {
		return api.User{}, err
	}
	if len(users) == 0 {
		return api.User{}, fmt.Errorf("no user %q is visible to this API key; see \"pawl user list\"", user)
	}
	return users[0], nil
}

// printTable prints rows under a heading, or as JSON. row returns the cells of a row, separated by tabs.
func printTable[T any](std stdio, asJSON bool, rows []T, heading string, row func(T) string) error {
	if asJSON {
		return printJSON(std.out, rows)
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, heading)
	for _, r := range rows {
		fmt.Fprintln(w, row(r))
	}
	return w.Flush()
}
