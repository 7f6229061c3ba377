package console

import (
	"context"
	"errors"
	"net/url"
	"strconv"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// perPage is how many rows a page of a list has.
const perPage = 50

// pager has the links between the pages of a list, as paths of the console. An empty one has no link.
type pager struct{ First, Next string }

// newPager returns the links of a list at a path with these filters. after is the cursor of this page, and next that of
// the next one; "" is none. A cursor names the last row of a page, so that no page counts the rows before it.
func newPager(path string, filters url.Values, after, next string) pager {
	link := func(cursor string) string {
		query := url.Values{}
		for name, values := range filters {
			if values[0] != "" && name != "after" && name != "done" {
				query.Set(name, values[0])
			}
		}
		if cursor != "" {
			query.Set("after", cursor)
		}
		return path + "?" + query.Encode()
	}
	var p pager
	if after != "" {
		p.First = link("")
	}
	if next != "" {
		p.Next = link(next)
	}
	return p
}

// peopleList is the data of the list of people.
type peopleList struct {
	Search           string
	Levels, Statuses field
	Network, Mailbox string
	People           []authority.User
	Count            string // how many people the page has, in words
	Pager            pager
}

// people lists the people that the caller administers, as far as they match the filters.
func (c *Console) people(ctx context.Context, r *request) (response, error) {
	data := peopleList{Search: r.text("q"), Network: r.text("network"), Mailbox: r.text("mailbox")}
	data.Levels = field{Name: "level", Label: t("person.level"), Value: r.text("level"),
		Options: append([]option{{Text: t("people.any-level")}}, levelsFrom(authority.Root)...)}
	data.Statuses = field{Name: "status", Label: t("person.status"), Value: r.text("status"), Options: statuses()}
	filter, err := peopleFilter(r)
	if err != nil {
		return response{}, err
	}
	if data.People, err = c.authority.ListUsers(ctx, r.caller, filter, 1); err != nil {
		return response{}, err
	}
	next := ""
	data.Count = t("people.shown", len(data.People))
	switch {
	case len(data.People) == 0:
		data.Count = t("people.shown-none")
	case len(data.People) > perPage:
		data.People = data.People[:perPage]
		next = strconv.FormatInt(data.People[perPage-1].ID, 10)
		data.Count = t("people.shown-more", perPage)
	}
	data.Pager = newPager("/people", r.URL.Query(), r.text("after"), next)
	return response{page: "people", title: t("people.title"), data: data}, nil
}

// peopleFilter returns the filter of a request, for one row more than a page has.
func peopleFilter(r *request) (authority.UserFilter, error) {
	f := authority.UserFilter{Limit: perPage + 1}
	var errs [4]error
	if q := r.text("q"); q != "" {
		f.Search, errs[0] = authority.NewSearch(q)
	}
	if level := r.text("level"); level != "" {
		f.Level, errs[1] = authority.ParseLevel("level", level)
	}
	if status := r.text("status"); status != "" {
		f.Status, errs[2] = authority.ParseStatus("status", status)
	}
	f.NetworkID, f.MailboxID, errs[3] = r.tenant()
	f.After, _ = strconv.ParseInt(r.text("after"), 10, 64) // a damaged cursor is the first page
	return f, firstOf(errs[:])
}

func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func statuses() []option {
	all := []option{{Text: t("people.any-status")}}
	for status := authority.Development; status <= authority.Terminated; status++ {
		all = append(all, option{Value: status.String(), Text: word("status", status)})
	}
	return all
}

func personPath(id int64) string { return "/people/" + strconv.FormatInt(id, 10) }

// isDenied reports whether an error means that the caller's level does not allow something.
func isDenied(err error) bool {
	known, ok := errors.AsType[*fault.Error](err)
	return ok && known.Kind == fault.AccessDenied
}
