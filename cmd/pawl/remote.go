package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/client"
)

// remote is what a command that acts on a running server needs. The key is
// taken from the environment only: arguments are seen by every user of the
// machine.
type remote struct {
	URL    string `name:"url" default:"http://127.0.0.1:8080" help:"Address of the server (PAWL_URL)."`
	APIKey string `name:"api-key" hidden:"" help:"Read from PAWL_API_KEY."`
	JSON   bool   `name:"json" help:"Print JSON."`

	client *client.Client
}

// AfterApply makes the client, once the flags are parsed. A bad address is an error of the command line.
func (r *remote) AfterApply() (err error) {
	r.client, err = client.New(r.URL, client.WithAPIKey(r.APIKey))
	return err
}

func (r remote) server() *client.Client { return r.client }

// userID finds a user by its login, or takes a number as the id.
func (r remote) userID(ctx context.Context, user string) (int64, error) {
	u, err := r.user(ctx, user)
	return u.UserID, err
}

func (r remote) user(ctx context.Context, user string) (api.User, error) {
	if id, err := strconv.ParseInt(user, 10, 64); err == nil {
		return r.server().User(ctx, id)
	}
	users, err := r.server().UsersByName(ctx, user)
	if err != nil {
		return api.User{}, err
	}
	if len(users) == 0 {
		return api.User{}, fmt.Errorf("there is no user %q that this key may see; \"pawl user list\" shows those that there are", user)
	}
	return users[0], nil
}

// table prints rows under a heading, or as JSON.
func table[T any](std stdio, asJSON bool, rows []T, heading string, row func(T) string) error {
	if asJSON {
		return printJSON(std.out, rows)
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, heading)
	for _, one := range rows {
		fmt.Fprintln(w, row(one))
	}
	return w.Flush()
}

func (r remote) showUsers(std stdio, users ...api.User) error {
	return table(std, r.JSON, users, "ID\tLOGIN\tLEVEL\tSTATUS\tNETWORK\tMAILBOX\tNAME", func(u api.User) string {
		return fmt.Sprintf("%d\t%s\t%s\t%s\t%d\t%d\t%s", u.UserID, u.Login, u.AuthLevel, u.Status, u.NetworkID, u.MailboxID,
			cmp.Or(strings.TrimSpace(u.FirstName+" "+u.LastName), "-"))
	})
}

// say prints a sentence, or for a machine the same as a small object.
func (r remote) say(std stdio, sentence string) error {
	if r.JSON {
		return printJSON(std.out, map[string]any{"ok": true, "message": sentence})
	}
	_, err := fmt.Fprintln(std.out, sentence)
	return err
}
