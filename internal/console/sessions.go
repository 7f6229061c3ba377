package console

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// Neither store has an index by the last refresh, because each refresh would have to change it. So the page sorts by
// the last refresh only if all live sessions are few enough to read them at once. More are listed person by person.
const (
	maxSorted = 500 // sessions
	readPage  = 250
	maxRead   = 2500 // how many sessions a request reads to find those of a filter
	// maxSearch is how long a request reads them, so that a busy store does not make a person wait.
	maxSearch = 50 * time.Millisecond
)

// sessionsPage is the data of the page of all live sessions.
type sessionsPage struct {
	Address string
	Device  string
	Rows    []sessionRow
	Sorted  bool // by the last refresh
	Partial bool // the next page continues a search that has reached maxRead or maxSearch
	Read    int  // how many sessions this page has read, if Partial
	Pager   pager
	Back    string // this page, to return to
}

// sessions lists the live sessions of all people that the caller administers.
func (c *Console) sessions(ctx context.Context, r *request) (response, error) {
	data := sessionsPage{Address: r.text("address"), Device: r.text("device")}
	after := r.text("after")
	at, byPerson := parseCursor(after)
	var first []authority.SessionWithOrigin
	var err error
	if !byPerson {
		all := authority.SessionQuery{All: true, Page: 1, Limit: maxSorted}
		if first, err = c.authority.Sessions(ctx, r.caller, all); err != nil {
			return response{}, err
		}
		data.Sorted = len(first) < maxSorted
	}
	next := ""
	if data.Sorted {
		data.Rows, next = sortedPage(first, after, data.matches)
	} else if data.Rows, next, err = c.sessionsFrom(ctx, r.caller, at, first, &data); err != nil {
		return response{}, err
	}
	c.addLogins(ctx, r.caller, data.Rows)
	data.Back = r.here()
	for i := range data.Rows {
		data.Rows[i].Back = data.Back
	}
	data.Pager = newPager("/sessions", r.URL.Query(), after, next)
	return response{page: "sessions", title: t("sessions.all"), data: data}, nil
}

// matches reports whether a session matches the filters: the beginning of the address, and a part of the device.
func (p *sessionsPage) matches(s *authority.SessionWithOrigin) bool {
	device := strings.ToLower(s.Device + " " + describeAgent(s.UserAgent) + " " + s.UserAgent)
	return strings.HasPrefix(s.IP, p.Address) && strings.Contains(device, strings.ToLower(p.Device))
}

// sortedPage returns a page of all sessions by their last refresh, newest first, and the cursor of the next one. The
// cursor is the last session of a page.
func sortedPage(
	all []authority.SessionWithOrigin, after string, matches func(*authority.SessionWithOrigin) bool,
) (rows []sessionRow, next string) {
	compare := func(a, b authority.SessionWithOrigin) int {
		return cmp.Or(cmp.Compare(b.Refreshed, a.Refreshed), strings.Compare(a.ID.String(), b.ID.String()))
	}
	slices.SortFunc(all, compare)
	var at int64
	var id string
	if _, err := fmt.Sscanf(after, "%d.%s", &at, &id); err == nil {
		all = slices.DeleteFunc(all, func(s authority.SessionWithOrigin) bool {
			return cmp.Or(cmp.Compare(at, s.Refreshed), strings.Compare(s.ID.String(), id)) <= 0
		})
	}
	for _, s := range all {
		if !matches(&s) {
			continue
		}
		if len(rows) == perPage {
			last := rows[perPage-1]
			return rows, fmt.Sprintf("%d.%s", last.Refreshed, last.ID)
		}
		rows = append(rows, sessionRow{SessionWithOrigin: s})
	}
	return rows, ""
}

// cursor is the position of a session in the order of the store.
type cursor struct {
	from authority.UserPosition // its user
	skip int64                  // how many sessions of the user are before it
}

// String returns the text that parseCursor parses.
func (c cursor) String() string {
	return fmt.Sprintf("%d.%d.%d", c.from.MailboxID, c.from.UserID, c.skip)
}

// parseCursor parses a cursor. A damaged one, and one of sortedPage, are not valid.
func parseCursor(text string) (c cursor, valid bool) {
	n, err := fmt.Sscanf(text, "%d.%d.%d", &c.from.MailboxID, &c.from.UserID, &c.skip)
	if n != 3 || err != nil || c.skip < 0 || c.skip > maxSkip || c.from.UserID < 0 {
		return cursor{}, false
	}
	return c, true
}

// maxSkip bounds how many sessions of one user a cursor can skip, because the store reads them.
const maxSkip = 1_000_000

// sessionsFrom returns the sessions from a cursor on, in the order of the store, and the cursor of the next page. first
// has the first sessions from the cursor on; if it is empty, sessionsFrom reads them.
func (c *Console) sessionsFrom(
	ctx context.Context, caller authority.Caller, at cursor, first []authority.SessionWithOrigin, p *sessionsPage,
) (rows []sessionRow, next string, err error) {
	begun := time.Now()
	read, last := 0, false
	for page := first; ; page = nil {
		if len(page) == 0 {
			query := authority.SessionQuery{All: true, Page: 1, Limit: readPage, From: at.from, Skip: at.skip}
			if p.Address == "" && p.Device == "" {
				query.Limit = perPage + 1
			}
			if page, err = c.authority.Sessions(ctx, caller, query); err != nil {
				return nil, "", err
			}
			last = int64(len(page)) < query.Limit
		}
		for i := range page {
			s := &page[i]
			if len(rows) == perPage {
				err = c.addMailbox(ctx, caller, &at)
				return rows, at.String(), err
			}
			if s.UserID != at.from.UserID {
				at.from.UserID, at.skip = s.UserID, 0
			}
			at.skip++
			if p.matches(s) {
				rows = append(rows, sessionRow{SessionWithOrigin: *s})
			}
		}
		if last {
			return rows, "", nil
		}
		if err := c.addMailbox(ctx, caller, &at); err != nil {
			return nil, "", err
		}
		if read += len(page); read >= maxRead || time.Since(begun) >= maxSearch {
			p.Partial, p.Read = true, read
			return rows, at.String(), nil
		}
	}
}

// addMailbox adds the present mailbox of its user to a cursor, because the store lists the sessions of a network in the
// order of the mailboxes.
func (c *Console) addMailbox(ctx context.Context, caller authority.Caller, at *cursor) error {
	user, err := c.authority.User(ctx, caller, at.from.UserID)
	if err == nil {
		at.from.MailboxID = user.MailboxID
	}
	return err
}

// addLogins adds the logins of the users to rows.
func (c *Console) addLogins(ctx context.Context, caller authority.Caller, rows []sessionRow) {
	logins := map[int64]string{}
	for i := range rows {
		row := &rows[i]
		row.Current = isOwn(caller, row.ID)
		if logins[row.UserID] == "" {
			logins[row.UserID] = number(row.UserID)
			if user, err := c.authority.User(ctx, caller, row.UserID); err == nil {
				logins[row.UserID] = user.Login
			}
		}
		row.Login = logins[row.UserID]
	}
}

var errNoSelection = fault.Invalid(t("error.no-selection"))

// selected returns the session ids of the form. It returns an error for more than a page has.
func selected(r *request) ([]token.SessionID, error) {
	texts := r.Form["s"]
	if len(texts) == 0 || len(texts) > perPage {
		return nil, errNoSelection
	}
	ids := make([]token.SessionID, len(texts))
	for i, text := range texts {
		var ok bool
		if ids[i], ok = token.ParseSessionID(text); !ok {
			return nil, errSession
		}
	}
	return ids, nil
}

func (c *Console) askEndSelected(_ context.Context, r *request) (response, error) {
	if err := r.ParseForm(); err != nil {
		return response{}, errForm
	}
	ids, err := selected(r)
	if err != nil {
		return response{}, err
	}
	return ask(t("end-selected.title"), confirmation{
		Effect: t("end-selected.effect", len(ids)), Button: t("end-selected.button"), Sessions: r.Form["s"],
		Action: "/sessions/end", Back: c.back(r, "/sessions"),
	}), nil
}

// endSelected ends the selected sessions. It ignores those that have ended meanwhile. It returns an error if the caller
// can end none of them, for example after a change of the level. An error after some of them names how many have ended.
func (c *Console) endSelected(ctx context.Context, r *request) (response, error) {
	ids, err := selected(r)
	if err != nil {
		return response{}, err
	}
	own := slices.IndexFunc(ids, func(id token.SessionID) bool { return isOwn(r.caller, id) })
	if own >= 0 { // it ends last, because its end also ends the caller's rights
		ids = append(slices.Delete(ids, own, own+1), r.caller.Session.ID)
	}
	ended := 0
	for _, id := range ids {
		err := c.authority.EndSession(ctx, r.caller, id)
		if err == nil {
			ended++
		} else if fault.KindOf(err) != fault.NotFound {
			return response{}, someEnded(err, ended, len(ids))
		}
	}
	if ended == 0 {
		return response{}, errSession
	}
	return next(c.back(r, "/sessions"), "selected-ended"), nil
}

// isOwn reports whether a session is that of the caller's request.
func isOwn(caller authority.Caller, id token.SessionID) bool {
	return caller.Session != nil && caller.Session.ID == id
}

// someEnded adds to an error how many of the selected sessions have ended before it.
func someEnded(err error, ended, selected int) error {
	if ended == 0 {
		return err
	}
	kind, message := fault.Unavailable, t("error.internal")
	if known, ok := errors.AsType[*fault.Error](err); ok {
		kind, message = known.Kind, known.Message
	}
	return fault.New(kind, t("end-selected.some", ended, selected, message))
}
