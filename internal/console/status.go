package console

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority"
)

// This file suspends, resumes and removes a person.

// askStatus asks before a change of the status. action names the texts and the last part of the path.
func (c *Console) askStatus(action string) handler {
	return func(ctx context.Context, r *request) (response, error) {
		user, sessions, err := c.personWithSessions(ctx, r)
		if err != nil {
			return response{}, err
		}
		effect := t(action+".effect", user.Login)
		if n := len(sessions.Rows); n > 0 && action != "resume" {
			effect += " " + t("ends.sessions", n)
		}
		return ask(t(action+".title"), confirmation{
			Effect: effect, Button: t(action + ".button"), Back: personPath(user.ID),
			Action: personPath(user.ID) + "/" + action,
		}), nil
	}
}

// setStatus sets the status of a person, and shows a notice.
func (c *Console) setStatus(status authority.Status, notice string) handler {
	return func(ctx context.Context, r *request) (response, error) {
		id, err := r.id()
		if err != nil {
			return response{}, err
		}
		if _, err := c.authority.UpdateUser(ctx, r.caller, id, authority.UserChange{Status: &status}); err != nil {
			return response{}, err
		}
		return next(personPath(id), notice), nil
	}
}

func (c *Console) removePerson(ctx context.Context, r *request) (response, error) {
	id, err := r.id()
	if err != nil {
		return response{}, err
	}
	if err := c.authority.TerminateUser(ctx, r.caller, id); err != nil {
		return response{}, err
	}
	return next(personPath(id), "removed"), nil
}
