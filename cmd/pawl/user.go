package main

import (
	"context"
	"fmt"

	"github.com/pawlauth/pawl/api"
)

type userCmd struct {
	Add      userAddCmd      `cmd:"" help:"Make a user, with a password that is made and printed, or read from standard input with --password-stdin."`
	Import   userImportCmd   `cmd:"" help:"Add users from a file to the store itself, with the password hashes of other software."`
	List     userListCmd     `cmd:"" help:"List users."`
	Show     userShowCmd     `cmd:"" help:"Show one user."`
	Suspend  userSuspendCmd  `cmd:"" help:"End a user's sessions and keep the user out."`
	Resume   userResumeCmd   `cmd:"" help:"Let a suspended user in again."`
	Role     userRoleCmd     `cmd:"" help:"Change a user's level, network or mailbox."`
	Password userPasswordCmd `cmd:"" help:"Set a user's password, read from standard input."`
	Reset    userResetCmd    `cmd:"" help:"End every session of a user."`
	Remove   userRemoveCmd   `cmd:"" help:"Terminate a user for good."`
}

// one is the user that a command is about.
type one struct {
	remote `embed:""`
	User   string `arg:"" help:"Login, or id."`
}

type userAddCmd struct {
	remote        `embed:""`
	Login         string    `arg:"" help:"Login."`
	Email         string    `help:"Mail address; the login if not given."`
	FirstName     string    `help:"First name."`
	LastName      string    `help:"Last name."`
	Level         api.Level `default:"MailboxUser" help:"Level."`
	NetworkID     *int64    `name:"network" help:"Network; the caller's if not given."`
	MailboxID     *int64    `name:"mailbox" help:"Mailbox; the caller's if not given."`
	PasswordStdin bool      `help:"Read the password from standard input instead of making one."`
}

func (*userAddCmd) Help() string {
	return "Example:\n  pawl user add ada@example.com --level NetworkUser --network 7"
}

func (c *userAddCmd) Run(ctx context.Context, std stdio) error {
	request := api.CreateUserRequest{Login: c.Login, Email: c.Email, FirstName: c.FirstName, LastName: c.LastName,
		AuthLevel: c.Level, NetworkID: c.NetworkID, MailboxID: c.MailboxID}
	if request.Email == "" {
		request.Email = c.Login
	}
	var err error
	if c.PasswordStdin {
		request.Password, err = readSecret(ctx, std.in, "password")
	} else {
		request.Password, err = c.server().GeneratePassword(ctx, api.GeneratePasswordRequest{Length: new(int64(20))})
	}
	if err != nil {
		return err
	}
	var made struct {
		api.User
		Password string `json:"password,omitempty"`
	}
	if made.User, err = c.server().CreateUser(ctx, request); err != nil {
		return err
	}
	if !c.PasswordStdin {
		made.Password = request.Password
	}
	if c.JSON {
		return printJSON(std.out, made)
	}
	fmt.Fprintf(std.out, "userId    %d\nlogin     %s\n", made.UserID, made.Login)
	if made.Password != "" {
		fmt.Fprintf(std.out, "password  %s\n", made.Password)
	}
	return nil
}

type userListCmd struct {
	remote  `embed:""`
	Network *int64     `help:"Only this network."`
	Mailbox *int64     `help:"Only this mailbox."`
	Level   api.Level  `help:"Only this level."`
	Status  api.Status `help:"Only this status."`
}

func (*userListCmd) Help() string { return "Example:\n  pawl user list --status Suspended --json" }

func (c *userListCmd) Run(ctx context.Context, std stdio) error {
	all := []api.User{}
	filter := api.ListUsersRequest{NetworkID: c.Network, MailboxID: c.Mailbox, AuthLevel: c.Level, Status: c.Status}
	for u, err := range c.server().AllUsers(ctx, filter) {
		if err != nil {
			return err
		}
		all = append(all, u)
	}
	return c.showUsers(std, all...)
}

type userShowCmd struct {
	one `embed:""`
}

func (*userShowCmd) Help() string { return "Example:\n  pawl user show ada@example.com" }

func (c *userShowCmd) Run(ctx context.Context, std stdio) error {
	u, err := c.user(ctx, c.User)
	if err != nil {
		return err
	}
	return c.showUsers(std, u)
}

type userSuspendCmd struct {
	one `embed:""`
}

func (*userSuspendCmd) Help() string { return "Example:\n  pawl user suspend ada@example.com" }

func (c *userSuspendCmd) Run(ctx context.Context, std stdio) error {
	return c.setStatus(ctx, std, api.StatusSuspended)
}

type userResumeCmd struct {
	one `embed:""`
}

func (*userResumeCmd) Help() string { return "Example:\n  pawl user resume ada@example.com" }

func (c *userResumeCmd) Run(ctx context.Context, std stdio) error {
	return c.setStatus(ctx, std, api.StatusActive)
}

func (c *one) setStatus(ctx context.Context, std stdio, status api.Status) error {
	id, err := c.userID(ctx, c.User)
	if err != nil {
		return err
	}
	u, err := c.server().UpdateUser(ctx, api.UpdateUserRequest{UserID: id, Status: &status})
	if err != nil {
		return err
	}
	return c.showUsers(std, u)
}

type userRoleCmd struct {
	one     `embed:""`
	Level   api.Level `arg:"" default:"NoChange" help:"Level; NoChange keeps it."`
	Network *int64    `help:"Network to move to."`
	Mailbox *int64    `help:"Mailbox to move to."`
}

func (*userRoleCmd) Help() string {
	return "Example:\n  pawl user role ada@example.com NetworkAdmin --network 7"
}

func (c *userRoleCmd) Run(ctx context.Context, std stdio) error {
	id, err := c.userID(ctx, c.User)
	if err != nil {
		return err
	}
	u, err := c.server().SetRole(ctx, api.RoleRequest{UserID: id, AuthLevel: c.Level, NetworkID: c.Network, MailboxID: c.Mailbox})
	if err != nil {
		return err
	}
	return c.showUsers(std, u)
}

type userPasswordCmd struct {
	one `embed:""`
}

func (*userPasswordCmd) Help() string {
	return "Example:\n  pawl user password ada@example.com < new-password.txt"
}

func (c *userPasswordCmd) Run(ctx context.Context, std stdio) error {
	id, err := c.userID(ctx, c.User)
	if err != nil {
		return err
	}
	secret, err := readSecret(ctx, std.in, "new password")
	if err != nil {
		return err
	}
	if err := c.server().SetPassword(ctx, id, secret); err != nil {
		return err
	}
	return c.say(std, "The password is set; \"pawl user reset\" ends the sessions that are open.")
}

type userResetCmd struct {
	one `embed:""`
}

func (*userResetCmd) Help() string { return "Example:\n  pawl user reset ada@example.com" }

func (c *userResetCmd) Run(ctx context.Context, std stdio) error {
	id, err := c.userID(ctx, c.User)
	if err != nil {
		return err
	}
	if err := c.server().ResetUser(ctx, id); err != nil {
		return err
	}
	return c.say(std, "Every session of the user is ended.")
}

type userRemoveCmd struct {
	one `embed:""`
}

func (*userRemoveCmd) Help() string { return "Example:\n  pawl user remove ada@example.com" }

func (c *userRemoveCmd) Run(ctx context.Context, std stdio) error {
	id, err := c.userID(ctx, c.User)
	if err != nil {
		return err
	}
	if err := c.server().TerminateUser(ctx, id); err != nil {
		return err
	}
	return c.say(std, "The user is terminated; sessions and keys are dead.")
}
