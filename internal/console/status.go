package console

import (
	"context"

	"github.com/pawlauth/pawl/internal/authority"
)

// This file suspends, resumes and removes a person.

// askStatus asks before a change of the status. action names the texts and the last part of the path.
func (c *Console) askStatus(action string) handler {
	return func(ctx context.Context, r *request) (response, error) {
		user, err := c.personOf(ctx, r)
		if err != nil {
			return response{}, err
		}
		sessions, err := c.firstSessions(ctx, r, user.ID)
		if err != nil {
			return response{}, err
		}
		effect := t(action+".effect", user.Login)
		if action != "resume" {
			effect += " " + endsSessions(user.Login, len(sessions))
		}
		if action == "remove" {
			keys, err := c.authority.APIKeys(ctx, r.caller, user.ID, 0)
			if err != nil {
				return response{}, err
			}
			if len(keys) > 0 {
				effect += " " + t("ends.keys", len(keys))
			}
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
