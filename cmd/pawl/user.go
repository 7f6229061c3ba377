package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/pawlauth/pawl/api"
)

type userCmd struct {
	Add      userAddCmd      `cmd:"" help:"Create a user with a generated password, or with one from standard input."`
	Import   userImportCmd   `cmd:"" help:"Import users and their password hashes from a file into a store."`
	Change   userChangeCmd   `cmd:"" help:"Change the names, the email or the external id of a user."`
	List     userListCmd     `cmd:"" help:"List users."`
	Show     userShowCmd     `cmd:"" help:"Show one user."`
	Suspend  userSuspendCmd  `cmd:"" help:"Suspend a user and end all sessions of the user."`
	Resume   userResumeCmd   `cmd:"" help:"Activate a suspended user."`
	Role     userRoleCmd     `cmd:"" help:"Change the level, network or mailbox of a user."`
	Password userPasswordCmd `cmd:"" help:"Set the password of a user, from a prompt or from standard input."`
	Reset    userResetCmd    `cmd:"" help:"End all sessions of a user."`
	Remove   userRemoveCmd   `cmd:"" help:"Terminate a user permanently."`
}

func printUsers(std stdio, asJSON bool, users ...api.User) error {
	const heading = "ID\tLOGIN\tLEVEL\tSTATUS\tNETWORK\tMAILBOX\tNAME\tEXTERNAL ID"
	return printTable(std, asJSON, users, heading, func(u api.User) string {
		name := cmp.Or(strings.TrimSpace(u.FirstName+" "+u.LastName), "-")
		return fmt.Sprintf("%d\t%s\t%s\t%s\t%d\t%d\t%s\t%s",
			u.UserID, u.Login, u.AuthLevel, u.Status, u.NetworkID, u.MailboxID, name, cmp.Or(u.ExternalID, "-"))
	})
}

type userListCmd struct {
	remote  `embed:""`
	Network *int64     `help:"List users of this network only."`
	Mailbox *int64     `help:"List users of this mailbox only."`
	Level   api.Level  `help:"List users of this level only."`
	Status  api.Status `help:"List users with this status only."`
	Search  string     `placeholder:"PREFIX" help:"List users whose login, email or name begins with this only."`
}

func (*userListCmd) Help() string { return "Example:\n  pawl user list --status Suspended --json" }

func (c *userListCmd) Run(ctx context.Context, std stdio) error {
	users := []api.User{}
	filter := api.ListUsersRequest{
		NetworkID: c.Network, MailboxID: c.Mailbox, AuthLevel: c.Level, Status: c.Status, Search: c.Search,
	}
	for u, err := range c.server.AllUsers(ctx, filter) {
		if err != nil {
			return err
		}
		users = append(users, u)
	}
	return printUsers(std, c.JSON, users...)
}

type userChangeCmd struct {
	remoteUser `embed:""`
	Email      *string `help:"Mail address; an empty one removes it."`
	FirstName  *string `help:"First name."`
	LastName   *string `help:"Last name."`
	ExternalID *string `name:"external-id" help:"Id in another system; an empty one removes it."`
}

func (*userChangeCmd) Help() string {
	return "Example:\n  pawl user change ada@example.com --external-id auth0-5f7c8ec7"
}

func (c *userChangeCmd) Run(ctx context.Context, std stdio) error {
	id, err := c.userID(ctx)
	if err != nil {
		return err
	}
	u, err := c.server.UpdateUser(ctx, api.UpdateUserRequest{
		UserID: id, Email: c.Email, FirstName: c.FirstName, LastName: c.LastName, ExternalID: c.ExternalID,
	})
	if err != nil {
		return err
	}
	return printUsers(std, c.JSON, u)
}

type userShowCmd struct {
	remoteUser `embed:""`
}

func (*userShowCmd) Help() string { return "Example:\n  pawl user show ada@example.com" }

func (c *userShowCmd) Run(ctx context.Context, std stdio) error {
	u, err := c.user(ctx)
	if err != nil {
		return err
	}
	return printUsers(std, c.JSON, u)
}

type userSuspendCmd struct {
	remoteUser `embed:""`
}

func (*userSuspendCmd) Help() string { return "Example:\n  pawl user suspend ada@example.com" }

func (c *userSuspendCmd) Run(ctx context.Context, std stdio) error {
	return c.setStatus(ctx, std, api.StatusSuspended)
}

type userResumeCmd struct {
	remoteUser `embed:""`
}

func (*userResumeCmd) Help() string { return "Example:\n  pawl user resume ada@example.com" }

func (c *userResumeCmd) Run(ctx context.Context, std stdio) error {
	return c.setStatus(ctx, std, api.StatusActive)
}

// setStatus sets the status of the user and prints the user.
func (r *remoteUser) setStatus(ctx context.Context, std stdio, status api.Status) error {
	id, err := r.userID(ctx)
	if err != nil {
		return err
	}
	u, err := r.server.UpdateUser(ctx, api.UpdateUserRequest{UserID: id, Status: &status})
	if err != nil {
		return err
	}
	return printUsers(std, r.JSON, u)
}

type userRoleCmd struct {
	remoteUser `embed:""`
	Level      api.Level `arg:"" default:"NoChange" help:"Level; NoChange keeps the current one."`
	Network    *int64    `help:"Network to move to."`
	Mailbox    *int64    `help:"Mailbox to move to."`
}

func (*userRoleCmd) Help() string {
	return "Example:\n  pawl user role ada@example.com NetworkAdmin --network 7"
}

func (c *userRoleCmd) Run(ctx context.Context, std stdio) error {
	id, err := c.userID(ctx)
	if err != nil {
		return err
	}
	request := api.RoleRequest{UserID: id, AuthLevel: c.Level, NetworkID: c.Network, MailboxID: c.Mailbox}
	u, err := c.server.SetRole(ctx, request)
	if err != nil {
		return err
	}
	return printUsers(std, c.JSON, u)
}

type userPasswordCmd struct {
	remoteUser     `embed:""`
	RevokeSessions bool `help:"End all sessions of the user too."`
}

func (*userPasswordCmd) Help() string {
	return `A terminal asks for the password twice. Otherwise the password is one line of standard input.

Example:
  pawl user password ada@example.com < new-password.txt`
}

func (c *userPasswordCmd) Run(ctx context.Context, std stdio) error {
	id, err := c.userID(ctx)
	if err != nil {
		return err
	}
	secret, err := readNewSecret(ctx, std, "new password")
	if err != nil {
		return err
	}
	request := api.SetPasswordRequest{UserID: id, NewPassword: secret, RevokeSessions: c.RevokeSessions}
	if err := c.server.SetPassword(ctx, request); err != nil {
		return err
	}
	if c.RevokeSessions {
		return c.confirm(std, "The password is set, and all sessions of the user have ended.")
	}
	return c.confirm(std, `The password is set. "pawl user reset" ends the open sessions of the user.`)
}

type userResetCmd struct {
	remoteUser `embed:""`
}

func (*userResetCmd) Help() string { return "Example:\n  pawl user reset ada@example.com" }

func (c *userResetCmd) Run(ctx context.Context, std stdio) error {
	id, err := c.userID(ctx)
	if err != nil {
		return err
	}
	if err := c.server.ResetUser(ctx, id); err != nil {
		return err
	}
	return c.confirm(std, "All sessions of the user have ended.")
}

type userRemoveCmd struct {
	remoteUser `embed:""`
	Yes        bool `help:"Do not ask first."`
}

func (*userRemoveCmd) Help() string {
	return `Asks first on a terminal. A script needs --yes.

Example:
  pawl user remove ada@example.com --yes`
}

func (c *userRemoveCmd) Run(ctx context.Context, std stdio) error {
	user, err := c.user(ctx)
	if err != nil {
		return err
	}
	question := fmt.Sprintf("This terminates user %d, %q, permanently.", user.UserID, user.Login)
	if err := askFirst(ctx, std, c.Yes, question); err != nil {
		return err
	}
	if err := c.server.TerminateUser(ctx, user.UserID); err != nil {
		return err
	}
	return c.confirm(std, "The user is terminated. All sessions have ended, and all API keys are removed.")
}
