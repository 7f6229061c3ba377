package console

import (
	"context"
	"slices"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// passwordForm is the form for the caller's own password, or for that of another person.
func (c *Console) passwordForm(ctx context.Context, r *request) (form, error) {
	f, user, err := c.personForm(ctx, r, "password")
	if err != nil {
		return form{}, err
	}
	sessions, err := c.firstSessions(ctx, r, user.ID)
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
		end := field{Name: "end", Label: t("password.end"), Type: "checkbox", Value: "on"}
		end.Hint = endsSessions(user.Login, len(sessions))
		f.Fields = []field{next, end}
		return f, nil
	}
	others := slices.DeleteFunc(sessions, func(s authority.SessionWithOrigin) bool {
		return isOwn(r.caller, s.ID)
	})
	hint := ""
	if len(others) > 0 {
		hint = endsSessions(user.Login, len(others))
	}
	f.Fields = []field{
		{Name: "current", Label: t("password.current"), Type: "password", Required: true, Complete: "current-password"},
		next,
		{Name: "end", Label: t("password.end-others"), Type: "checkbox", Value: "on", Hint: hint},
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
	if err := c.authority.SetPassword(ctx, r.caller, id, password, end); err != nil {
		return response{}, err
	}
	if !end {
		return next(personPath(id), "password"), nil
	}
	return next(personPath(id), "password-ended"), nil
}

// errCurrentPassword is not of kind InvalidCredentials, because the person remains signed in.
var errCurrentPassword = fault.Invalid(t("error.current-password"))
