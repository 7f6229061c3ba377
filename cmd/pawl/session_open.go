package main

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/pawlauth/pawl/api"
)

type sessionOpenCmd struct {
	remote     `embed:""`
	User       string `arg:"" optional:"" help:"Login or id of the user; with --external-id, the login of a new user."`
	ExternalID string `name:"external-id" placeholder:"ID" help:"Id of the user in another system."`
	Create     bool   `help:"Create the user if there is none."`
	Device     string `help:"Name of the user's device."`
	IP         string `name:"ip" placeholder:"ADDRESS" help:"Address of the user, instead of your own."`
	UserAgent  string `help:"User-Agent of the user, instead of that of pawl."`
	Claims     string `placeholder:"JSON" help:"Object that every token has as its claim ext."`
	Actor      *int64 `placeholder:"ID" help:"Id of the user who acts in the session."`

	// The flags of these settings have other names, so that the variables of a server do not set them.
	MaxTokenLife   time.Duration `help:"Shorter token-life for this session."`
	MaxIdleLife    time.Duration `help:"Shorter idle-life for this session."`
	MaxSessionLife time.Duration `help:"Shorter session-life for this session."`
}

func (*sessionOpenCmd) Help() string {
	return `Opens a session without a password, for a user authenticated elsewhere. The API key needs the
scope OpenSessions or Full. The command prints the token.

Example:
  pawl session open ada@example.com --external-id idp-4711 --create --claims '{"plan":"gold"}'`
}

func (c *sessionOpenCmd) Run(ctx context.Context, std stdio) error {
	request, err := c.request()
	if err != nil {
		return err
	}
	token, err := c.server.OpenSession(ctx, request)
	if err != nil {
		return err
	}
	return printToken(std, c.JSON, token)
}

func (c *sessionOpenCmd) request() (api.OpenSessionRequest, error) {
	r := api.OpenSessionRequest{
		ExternalID: c.ExternalID, Device: c.Device, IP: c.IP, UserAgent: c.UserAgent, ActorID: c.Actor,
		TokenLife: lifeSeconds(c.MaxTokenLife), IdleLife: lifeSeconds(c.MaxIdleLife),
		SessionLife: lifeSeconds(c.MaxSessionLife),
	}
	id, err := strconv.ParseInt(c.User, 10, 64)
	isID := err == nil
	switch {
	case c.User == "" && c.ExternalID == "":
		return r, usagef("name the user by a login, an id or --external-id")
	case c.User != "" && c.ExternalID != "" && !c.Create:
		return r, usagef("name the user by %s or by --external-id, or create one with --create", c.User)
	case isID && c.Create:
		return r, usagef("a user cannot be created with an id; give a login")
	case c.ExternalID != "":
	case isID:
		r.UserID = id
	default:
		r.Login = c.User
	}
	if c.Create {
		r.User = &api.CreateUserRequest{Login: c.User}
	}
	if c.Claims != "" {
		if !json.Valid([]byte(c.Claims)) {
			return r, usagef("--claims must be a JSON object")
		}
		r.Claims = json.RawMessage(c.Claims)
	}
	return r, nil
}

// lifeSeconds returns a life in seconds, or nil for 0.
func lifeSeconds(d time.Duration) *int64 {
	if d == 0 {
		return nil
	}
	return new(int64(d / time.Second))
}
