package console

import (
	"context"
	"strconv"

	"github.com/pawlauth/pawl/internal/authority"
)

// perPage is how many rows a page of a list has.
const perPage = 50

// peopleList is the data of the list of people.
type peopleList struct {
	Search string
	People []authority.User
	Next   string // the cursor of the next page, or ""
}

// people lists the people that the caller administers, or those that a prefix of a login, an email or a name selects.
func (c *Console) people(ctx context.Context, r *request) (response, error) {
	data := peopleList{Search: r.FormValue("q")}
	filter := authority.UserFilter{Limit: perPage + 1}
	var err error
	if data.Search != "" {
		if filter.Search, err = authority.NewSearch(data.Search); err != nil {
			return response{}, err
		}
	}
	filter.After, _ = strconv.ParseInt(r.FormValue("after"), 10, 64) // a damaged cursor is the first page
	if data.People, err = c.authority.ListUsers(ctx, r.caller, filter, 1); err != nil {
		return response{}, err
	}
	if len(data.People) > perPage {
		data.People = data.People[:perPage]
		data.Next = strconv.FormatInt(data.People[perPage-1].ID, 10)
	}
	return response{page: "people", title: t("people.title"), data: data}, nil
}

// home leads to the first page that the caller may open.
func (c *Console) home(_ context.Context, r *request) (response, error) {
	if r.caller.User.IsAdmin() {
		return next("/people", ""), nil
	}
	return next(personPath(r.caller.User.ID), ""), nil
}

func personPath(id int64) string { return "/people/" + strconv.FormatInt(id, 10) }
