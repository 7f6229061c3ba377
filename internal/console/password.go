package console

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority/fault"
)

// passwordForm is the form for the caller's own password, or for that of another person.
func (c *Console) passwordForm(ctx context.Context, r *request) (form, error) {
	f, user, err := c.personForm(ctx, r, "password")
	if err != nil {
		return form{}, err
	}
	f.Username = user.Login
	next := field{
		Name: "password", Label: t("password.new"), Type: "password", Required: true, Complete: "new-password",
		Hint: t("password.rules"),
	}
	if user.ID != r.caller.User.ID {
		f.Intro = t("password.effect")
		f.Fields = []field{next, {Name: "end", Label: t("password.end"), Type: "checkbox", Value: "on"}}
		return f, nil
	}
	f.Fields = []field{
		{Name: "current", Label: t("password.current"), Type: "password", Required: true, Complete: "current-password"},
		next,
		{Name: "end", Label: t("password.end-others"), Type: "checkbox", Value: "on"},
	}
	return f, nil
}

func (c *Console) setPassword(ctx context.Context, r *request) (response, error) {
	id, err := r.id()
	if err != nil {
		return response{}, err
	}
	password, end := r.PostFormValue("password"), r.PostFormValue("end") != ""
	if id == r.caller.User.ID {
		current := r.PostFormValue("current")
		err := c.authority.ChangePassword(ctx, r.caller, current, password, end, origin(r.Request))
		if fault.KindOf(err) == fault.InvalidCredentials {
			return response{}, errCurrentPassword
		}
		return next(personPath(id), "password"), err
	}
	if err := c.authority.SetPassword(ctx, r.caller, id, password); err != nil {
		return response{}, err
	}
	if !end {
		return next(personPath(id), "password"), nil
	}
	if err := c.authority.ResetUser(ctx, r.caller, id); err != nil {
		return response{}, err
	}
	return next(personPath(id), "password-ended"), nil
}

// errCurrentPassword is not of kind InvalidCredentials, because the person remains signed in.
var errCurrentPassword = fault.Invalid(t("error.current-password"))
