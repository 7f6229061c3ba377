package main

import (
	"context"
	"fmt"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority"
)

type userAddCmd struct {
	remote        `embed:""`
	Login         string    `arg:"" help:"Login."`
	Email         string    `help:"Mail address; if empty, the login, if that is a mail address."`
	ExternalID    string    `name:"external-id" help:"Id in another system, such as the sub of an identity provider."`
	FirstName     string    `help:"First name."`
	LastName      string    `help:"Last name."`
	Level         api.Level `default:"MailboxUser" help:"Level."`
	NetworkID     *int64    `name:"network" help:"Network; if not given, that of the caller."`
	MailboxID     *int64    `name:"mailbox" help:"Mailbox; if not given, that of the caller."`
	PasswordStdin bool      `xor:"password" help:"Read the password from standard input or a prompt."`
	NoPassword    bool      `xor:"password" help:"Create a user who cannot sign in with a password."`
}

func (*userAddCmd) Help() string {
	return `Example:
  pawl user add ada@example.com --level NetworkUser --network 7

A generated password is printed once; keep it.`
}

func (c *userAddCmd) Run(ctx context.Context, std stdio) error {
	var created struct {
		api.User
		Password string `json:"password,omitempty"` // only if it was generated
	}
	var password string
	var err error
	switch {
	case c.NoPassword:
	case c.PasswordStdin:
		password, err = readNewSecret(ctx, std, "password")
	default:
		password, err = c.server.GeneratePassword(ctx, api.GeneratePasswordRequest{Length: new(int64(20))})
		created.Password = password
	}
	if err != nil {
		return err
	}
	if c.Email == "" && authority.IsEmail(c.Login) {
		c.Email = c.Login
	}
	created.User, err = c.server.CreateUser(ctx, api.CreateUserRequest{
		Login: c.Login, Password: password, ExternalID: c.ExternalID, Email: c.Email,
		FirstName: c.FirstName, LastName: c.LastName,
		AuthLevel: c.Level, NetworkID: c.NetworkID, MailboxID: c.MailboxID,
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(std.out, created)
	}
	fmt.Fprintf(std.out, "userId    %d\nlogin     %s\n", created.UserID, created.Login)
	if created.Password != "" {
		fmt.Fprintf(std.out, "password  %s\n", created.Password)
	}
	return nil
}
