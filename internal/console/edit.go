package console

import (
	"context"
	"strconv"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// This file has the forms that create and change a person.

func (c *Console) newPersonForm(_ context.Context, r *request) (form, error) {
	u := r.caller.User
	if !u.IsAdmin() {
		return form{}, errNotAdmin
	}
	return form{
		title: t("new.title"), Button: t("new.button"), Action: "/people/new", Back: "/people",
		Fields: []field{
			{Name: "login", Label: t("person.login"), Required: true, Complete: "off"},
			{Name: "password", Label: t("new.password"), Type: "password", Hint: t("new.password-hint"),
				Complete: "new-password"},
			{Name: "email", Label: t("person.email"), Type: "email", Complete: "off"},
			{Name: "firstName", Label: t("person.first-name"), Complete: "off"},
			{Name: "lastName", Label: t("person.last-name"), Complete: "off"},
			{Name: "externalId", Label: t("person.external"), Hint: t("person.external-hint"), Complete: "off"},
			levelField(u.Level, max(authority.MailboxUser, u.Level)), networkField(u.Tenant), mailboxField(u.Tenant),
		},
	}, nil
}

var errNotAdmin = fault.New(fault.AccessDenied, "Your level does not allow this; ask an administrator.")

func levelField(highest, value authority.Level) field {
	return field{
		Name: "level", Label: t("person.level"), Type: "select", Value: value.String(), Options: levelsFrom(highest),
	}
}

func networkField(value authority.Tenant) field {
	return field{
		Name: "network", Label: t("person.network"), Type: "number", Value: strconv.FormatInt(value.NetworkID, 10),
	}
}

func mailboxField(value authority.Tenant) field {
	return field{
		Name: "mailbox", Label: t("person.mailbox"), Type: "number", Value: strconv.FormatInt(value.MailboxID, 10),
	}
}

func (c *Console) createPerson(ctx context.Context, r *request) (response, error) {
	level, err := authority.ParseLevel("level", r.text("level"))
	if err != nil {
		return response{}, err
	}
	network, mailbox, err := r.tenant()
	if err != nil {
		return response{}, err
	}
	user, err := c.authority.CreateUser(ctx, r.caller, authority.NewUser{
		Login: r.text("login"), Password: r.PostFormValue("password"), ExternalID: r.text("externalId"),
		Email: r.text("email"), FirstName: r.text("firstName"), LastName: r.text("lastName"),
		Level: level, NetworkID: network, MailboxID: mailbox,
	})
	if err != nil {
		return response{}, err
	}
	return next(personPath(user.ID), "created"), nil
}

// tenant returns the network and the mailbox of the form. An empty field is nil.
func (r *request) tenant() (network, mailbox *int64, err error) {
	if network, err = r.number("network", "person.network"); err != nil {
		return nil, nil, err
	}
	mailbox, err = r.number("mailbox", "person.mailbox")
	return network, mailbox, err
}

// personForm returns a form about the person of the path, without fields. action is the last part of its path.
func (c *Console) personForm(ctx context.Context, r *request, action string) (form, *authority.User, error) {
	id, err := r.id()
	if err != nil {
		return form{}, nil, err
	}
	user, err := c.authority.User(ctx, r.caller, id)
	if err != nil {
		return form{}, nil, err
	}
	return form{
		title: t(action+".title", user.Login), Button: t(action + ".button"), Back: personPath(id),
		Action: personPath(id) + "/" + action,
	}, user, nil
}

func (c *Console) editForm(ctx context.Context, r *request) (form, error) {
	f, user, err := c.personForm(ctx, r, "edit")
	if err != nil {
		return form{}, err
	}
	f.Fields = []field{
		{Name: "email", Label: t("person.email"), Type: "email", Value: user.Email, Complete: "off"},
		{Name: "firstName", Label: t("person.first-name"), Value: user.FirstName, Complete: "off"},
		{Name: "lastName", Label: t("person.last-name"), Value: user.LastName, Complete: "off"},
	}
	if r.caller.User.IsAdmin() {
		f.Fields = append(f.Fields, field{
			Name: "externalId", Label: t("person.external"), Value: user.ExternalID, Hint: t("person.external-hint"),
			Complete: "off",
		})
	}
	return f, nil
}

// edit changes the fields that differ from the stored ones, so that the audit names only real changes.
func (c *Console) edit(ctx context.Context, r *request) (response, error) {
	id, err := r.id()
	if err != nil {
		return response{}, err
	}
	user, err := c.authority.User(ctx, r.caller, id)
	if err != nil {
		return response{}, err
	}
	changed := func(name, stored string) *string {
		text := r.text(name)
		if !r.PostForm.Has(name) || text == stored {
			return nil
		}
		return &text
	}
	change := authority.UserChange{
		Email: changed("email", user.Email), FirstName: changed("firstName", user.FirstName),
		LastName: changed("lastName", user.LastName), ExternalID: changed("externalId", user.ExternalID),
	}
	if change == (authority.UserChange{}) {
		return next(personPath(id), "unchanged"), nil
	}
	if _, err := c.authority.UpdateUser(ctx, r.caller, id, change); err != nil {
		return response{}, err
	}
	return next(personPath(id), "changed"), nil
}

func (c *Console) roleForm(ctx context.Context, r *request) (form, error) {
	f, user, err := c.personForm(ctx, r, "role")
	if err != nil {
		return form{}, err
	}
	f.Intro = t("role.effect")
	f.Fields = []field{
		levelField(r.caller.User.Level, user.Level), networkField(user.Tenant), mailboxField(user.Tenant),
	}
	return f, nil
}

// setRole changes the level and the tenant, if they differ from the stored ones.
func (c *Console) setRole(ctx context.Context, r *request) (response, error) {
	id, err := r.id()
	if err != nil {
		return response{}, err
	}
	level, err := authority.ParseLevel("level", r.text("level"))
	if err != nil {
		return response{}, err
	}
	network, mailbox, err := r.tenant()
	if err != nil {
		return response{}, err
	}
	user, err := c.authority.User(ctx, r.caller, id)
	if err != nil {
		return response{}, err
	}
	if network != nil && *network == user.NetworkID && mailbox != nil && *mailbox == user.MailboxID {
		network, mailbox = nil, nil
	}
	if level == user.Level {
		level = 0
	}
	if level == 0 && network == nil && mailbox == nil {
		return next(personPath(id), "unchanged"), nil
	}
	if _, err := c.authority.SetRole(ctx, r.caller, id, level, network, mailbox); err != nil {
		return response{}, err
	}
	return next(personPath(id), "changed"), nil
}
