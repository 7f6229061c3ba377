package console

import (
	"context"
	"strconv"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// personPage is the data of the page of a person.
type personPage struct {
	Person   *authority.User
	Self     bool // whether it is the caller's own page
	Actions  []link
	Above    bool // whether the person is above the caller, so that the rest is not shown
	Sessions sessionTable
	Keys     []authority.APIKey
	Events   []eventRow // nil if the caller is not an admin
}

// link is a link to an action of a page. The path is below that of the page.
type link struct {
	Path   string
	Text   string
	Danger bool // it ends or removes something
	Asks   bool // it leads to a question
}

// actions returns the actions that the caller may take on a person.
func actions(caller, person *authority.User) []link {
	self := caller.ID == person.ID
	manages := !self && caller.IsAdmin() && person.Level >= caller.Level
	var all []link
	add := func(may bool, path string, asks, danger bool) {
		if may && person.Status != authority.Terminated {
			all = append(all, link{Path: path, Text: t(path + ".open"), Asks: asks, Danger: danger})
		}
	}
	add(self || manages, "edit", false, false)
	add(self || manages && caller.Level <= authority.NetworkAdmin, "password", false, false)
	add(manages, "role", false, false)
	add(manages && person.Status.MaySignIn(), "suspend", true, true)
	add(manages && person.Status == authority.Suspended, "resume", true, false)
	add(manages, "remove", true, true)
	return all
}

// sessionTable is the data of a table of sessions.
type sessionTable struct {
	Rows  []sessionRow
	Count int // live sessions of the person, as firstSessions counts them
	Pager pager
}

// More reports whether the person has more than Most sessions. Then they are not sorted.
func (s sessionTable) More() bool { return s.Count > maxSessions }

// Most returns maxSessions.
func (s sessionTable) Most() int { return maxSessions }

// sessionRow is a session in a table.
type sessionRow struct {
	authority.SessionWithOrigin
	Login   string // of the user, in a table of several users
	Current bool   // whether it is the session of the request
	Back    string // the page of the table, to return to
}

// Refreshes returns how often the session was refreshed.
func (s sessionRow) Refreshes() uint32 { return s.Generation - 1 }

// maxSessions is how many sessions of a person the console counts and sorts. The authority returns no more at once.
const maxSessions = 500

// person shows a person and the sessions, most recently used first.
func (c *Console) person(ctx context.Context, r *request) (response, error) {
	user, err := c.personOf(ctx, r)
	if err != nil {
		return response{}, err
	}
	sessions, err := c.sessionsOf(ctx, r, user.ID)
	above := isDenied(err)
	if err != nil && !above {
		return response{}, err
	}
	data := personPage{
		Person: user, Self: user.ID == r.caller.User.ID, Above: above, Sessions: sessions,
		Actions: actions(r.caller.User, user),
	}
	if above {
		return response{page: "person", title: user.Login, data: data}, nil
	}
	if data.Keys, err = c.authority.APIKeys(ctx, r.caller, user.ID, 0); err != nil {
		return response{}, err
	}
	if r.caller.User.IsAdmin() {
		if data.Events, err = c.recentEvents(ctx, r.caller, user.ID); err != nil {
			return response{}, err
		}
	}
	return response{page: "person", title: user.Login, data: data}, nil
}

// personOf returns the person of the path.
func (c *Console) personOf(ctx context.Context, r *request) (*authority.User, error) {
	id, err := r.id()
	if err != nil {
		return nil, err
	}
	return c.authority.User(ctx, r.caller, id)
}

// firstSessions returns the first maxSessions + 2 live sessions of a person, so that a count can exceed maxSessions
// even without the own session of the caller.
func (c *Console) firstSessions(
	ctx context.Context, r *request, id int64,
) ([]authority.SessionWithOrigin, error) {
	query := authority.SessionQuery{UserID: id, Page: 1, Limit: maxSessions}
	first, err := c.authority.Sessions(ctx, r.caller, query)
	if err != nil || len(first) < maxSessions {
		return first, err
	}
	query.Skip, query.Limit = maxSessions, 2
	more, err := c.authority.Sessions(ctx, r.caller, query)
	return append(first, more...), err
}

// sessionsOf returns a page of the sessions of a person, most recently refreshed first. It sorts maxSessions at most;
// more are in the order of the store, and the cursor is the number of sessions before the page.
func (c *Console) sessionsOf(ctx context.Context, r *request, id int64) (sessionTable, error) {
	page, err := c.firstSessions(ctx, r, id)
	if err != nil {
		return sessionTable{}, err
	}
	table := sessionTable{Count: len(page)}
	after, next := r.text("after"), ""
	if table.More() {
		skip, err := strconv.ParseInt(after, 10, 64)
		if err != nil || skip < 0 || skip > maxSkip {
			skip, after = 0, "" // a damaged cursor, or that of a sorted page
		}
		if skip > 0 {
			query := authority.SessionQuery{UserID: id, Page: 1, Limit: perPage + 1, Skip: skip}
			if page, err = c.authority.Sessions(ctx, r.caller, query); err != nil {
				return sessionTable{}, err
			}
		}
		if len(page) > perPage {
			page, next = page[:perPage], strconv.FormatInt(skip+perPage, 10)
		}
		for _, s := range page {
			table.Rows = append(table.Rows, sessionRow{SessionWithOrigin: s})
		}
	} else {
		every := func(*authority.SessionWithOrigin) bool { return true }
		table.Rows, next = sortedPage(page, after, every)
	}
	here := r.here()
	for i := range table.Rows {
		row := &table.Rows[i]
		row.Current, row.Back = isOwn(r.caller, row.ID), here
	}
	table.Pager = newPager(personPath(id), r.URL.Query(), after, next)
	return table, nil
}

// endsSessions returns the effect of ending n sessions of a person, in words. A number above maxSessions is "more than
// 500", because firstSessions counts no further.
func endsSessions(login string, n int) string {
	switch {
	case n == 0:
		return t("ends.none", login)
	case n == 1:
		return t("ends.one", login)
	case n > maxSessions:
		return t("ends.more", maxSessions, login)
	}
	return t("ends.sessions", n, login)
}

var errPerson = fault.New(fault.NotFound, t("error.person"))

// id returns the user id of the path.
func (r *request) id() (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil || id <= 0 {
		return 0, errPerson
	}
	return id, nil
}

var errSession = fault.New(fault.NotFound, t("error.session"))

// session returns the session id of the path.
func (r *request) session() (token.SessionID, error) {
	id, ok := token.ParseSessionID(r.PathValue("session"))
	if !ok {
		return id, errSession
	}
	return id, nil
}

// confirmation is the data of the page that asks before an action.
type confirmation struct {
	Effect string // a sentence
	Button string
	Action string // the path of the form
	Back   string // the path and query of the page before
	// Sessions are the ids of the selected sessions, for the action of a selection.
	Sessions []string
}

func ask(title string, data confirmation) response {
	return response{page: "confirm", title: title, data: data}
}

func (c *Console) askEndSession(ctx context.Context, r *request) (response, error) {
	person, err := r.id()
	if err != nil {
		return response{}, err
	}
	id, err := r.session()
	if err != nil {
		return response{}, err
	}
	session, user, err := c.authority.LiveSession(ctx, r.caller, id)
	if err == nil && user.ID != person {
		err = errSession
	}
	if err != nil {
		return response{}, err
	}
	effect := t("end.effect", describeAgent(session.UserAgent), session.IP, user.Login)
	if isOwn(r.caller, id) {
		effect = t("end.effect-current")
	}
	return ask(t("end.title"), confirmation{
		Effect: effect, Button: t("end.button"), Back: c.back(r, personPath(person)),
		Action: personPath(person) + "/sessions/" + id.String() + "/end",
	}), nil
}

func (c *Console) endSession(ctx context.Context, r *request) (response, error) {
	id, err := r.id()
	if err != nil {
		return response{}, err
	}
	session, err := r.session()
	if err != nil {
		return response{}, err
	}
	if err := c.authority.EndSession(ctx, r.caller, session); err != nil {
		return response{}, err
	}
	return next(c.back(r, personPath(id)), "session-ended"), nil
}

func (c *Console) askEndAll(ctx context.Context, r *request) (response, error) {
	user, err := c.personOf(ctx, r)
	if err != nil {
		return response{}, err
	}
	sessions, err := c.firstSessions(ctx, r, user.ID)
	if err != nil {
		return response{}, err
	}
	effect := endsSessions(user.Login, len(sessions))
	if user.ID == r.caller.User.ID {
		effect += " " + t("end-all.self")
	}
	return ask(t("end-all.title"), confirmation{
		Effect: effect, Button: t("end-all.button"), Back: personPath(user.ID),
		Action: personPath(user.ID) + "/end-all",
	}), nil
}

func (c *Console) endAll(ctx context.Context, r *request) (response, error) {
	id, err := r.id()
	if err != nil {
		return response{}, err
	}
	if err := c.authority.ResetUser(ctx, r.caller, id); err != nil {
		return response{}, err
	}
	return next(personPath(id), "all-ended"), nil
}
