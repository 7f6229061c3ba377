package console

import (
	"cmp"
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

var errNotAdmin = fault.New(fault.AccessDenied, t("error.not-admin"))

func levelField(highest, value authority.Level) field {
	return stored(value.String(), field{
		Name: "level", Label: t("person.level"), Type: "select", Options: levelsFrom(highest),
	})
}

func networkField(value authority.Tenant) field {
	return stored(strconv.FormatInt(value.NetworkID, 10), field{
		Name: "network", Label: t("person.network"), Type: "number",
	})
}

func mailboxField(value authority.Tenant) field {
	return stored(strconv.FormatInt(value.MailboxID, 10), field{
		Name: "mailbox", Label: t("person.mailbox"), Type: "number",
	})
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
		stored(user.Email, field{Name: "email", Label: t("person.email"), Type: "email", Complete: "off"}),
		stored(user.FirstName, field{Name: "firstName", Label: t("person.first-name"), Complete: "off"}),
		stored(user.LastName, field{Name: "lastName", Label: t("person.last-name"), Complete: "off"}),
	}
	if r.caller.User.IsAdmin() {
		f.Fields = append(f.Fields, stored(user.ExternalID, field{
			Name: "externalId", Label: t("person.external"), Hint: t("person.external-hint"), Complete: "off",
		}))
	}
	return f, nil
}

// edit changes the fields that the person has changed in the form, so that the audit names only real changes.
func (c *Console) edit(ctx context.Context, r *request) (response, error) {
	return c.changePerson(ctx, r, func(user *authority.User, e *edits) (save func() error, err error) {
		change := authority.UserChange{
			Email:      e.text("email", "person.email", user.Email),
			FirstName:  e.text("firstName", "person.first-name", user.FirstName),
			LastName:   e.text("lastName", "person.last-name", user.LastName),
			ExternalID: e.text("externalId", "person.external", user.ExternalID),
		}
		if change == (authority.UserChange{}) {
			return nil, nil
		}
		return func() error {
			_, err := c.authority.UpdateUser(ctx, r.caller, user.ID, change)
			return err
		}, nil
	})
}

// changePerson answers a form that changes the person of the path. read compares the form with the stored person, and
// returns the function that saves the changes, or nil if there are none.
func (c *Console) changePerson(
	ctx context.Context, r *request, read func(*authority.User, *edits) (save func() error, err error),
) (response, error) {
	id, err := r.id()
	if err != nil {
		return response{}, err
	}
	user, err := c.authority.User(ctx, r.caller, id)
	if err != nil {
		return response{}, err
	}
	e := edits{r: r}
	save, err := read(user, &e)
	if err = cmp.Or(err, e.err); err != nil {
		return response{}, err
	}
	if save == nil {
		return next(personPath(id), "unchanged"), nil
	}
	if err := save(); err != nil {
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

// setRole changes the level and the tenant, if the person has changed them in the form.
func (c *Console) setRole(ctx context.Context, r *request) (response, error) {
	return c.changePerson(ctx, r, func(user *authority.User, e *edits) (save func() error, err error) {
		var level authority.Level
		if text := e.text("level", "person.level", user.Level.String()); text != nil {
			if level, err = authority.ParseLevel("level", *text); err != nil {
				return nil, err
			}
		}
		network, err := e.number("network", "person.network", user.NetworkID)
		if err != nil {
			return nil, err
		}
		mailbox, err := e.number("mailbox", "person.mailbox", user.MailboxID)
		if err != nil || level == 0 && network == nil && mailbox == nil {
			return nil, err
		}
		return func() error {
			_, err := c.authority.SetRole(ctx, r.caller, user.ID, level, network, mailbox)
			return err
		}, nil
	})
}
