package console

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/token"
)

// eventRow is an event in a table, with the logins of its users, as far as the caller may see them.
type eventRow struct {
	audit.Event
	UserLogin   string
	CallerLogin string
	ActorLogin  string
}

// Words returns the event in words.
func (e eventRow) Words() string { return t("kind." + string(e.Kind)) }

// HasSession reports whether the event is about a session.
func (e eventRow) HasSession() bool { return e.Session != (token.SessionID{}) }

// Serious reports whether the event needs attention.
func (e eventRow) Serious() bool {
	return e.Kind == audit.Theft || e.Kind == audit.EventsLost
}

// auditPage is the data of the page of events.
type auditPage struct {
	Kinds    field
	User     string
	Session  string
	From, To string
	Live     []sessionRow // the session of the filter, if it is live and the caller may end it
	Events   []eventRow
	Pager    pager
	Follow   bool   // whether the page updates itself
	Toggle   string // the path that turns Follow on or off
	CSV      string // the paths of the exports
	JSON     string
}

// audit shows events, newest first.
func (c *Console) audit(ctx context.Context, r *request) (response, error) {
	filter, err := c.eventFilter(ctx, r)
	if err != nil {
		return response{}, err
	}
	filter.Limit = perPage + 1
	after := r.text("after")
	filter.Before = parsePosition(after)
	events, err := c.authority.Events(ctx, r.caller, filter, 1)
	if err != nil {
		return response{}, err
	}
	next := ""
	if len(events) > perPage {
		events = events[:perPage]
		last := events[perPage-1]
		next = strconv.FormatInt(last.At, 10) + "." + strconv.FormatInt(last.ID, 10)
	}
	query := r.URL.Query()
	follow := query.Get("follow") != ""
	data := auditPage{
		Kinds: field{Name: "kind", Label: t("audit.kind"), Value: r.text("kind"), Options: kinds()},
		User:  r.text("user"), Session: r.text("session"), From: r.text("from"), To: r.text("to"),
		Events: c.eventRows(ctx, r.caller, events), Pager: newPager("/audit", query, after, next),
		Follow: follow && filter.Before == nil,
	}
	if data.Live, err = c.liveSession(ctx, r, filter.Session); err != nil {
		return response{}, err
	}
	query.Del("done")
	query.Del("after")
	query.Del("follow")
	data.CSV, data.JSON = "/audit/csv?"+query.Encode(), "/audit/jsonl?"+query.Encode()
	if !follow {
		query.Set("follow", "1")
	}
	data.Toggle = "/audit?" + query.Encode()
	return response{page: "audit", title: t("audit.title"), data: data}, nil
}

// liveSession returns the row of a session, or no row if the session is not one that the caller may end.
func (c *Console) liveSession(ctx context.Context, r *request, id token.SessionID) ([]sessionRow, error) {
	if id == (token.SessionID{}) {
		return nil, nil
	}
	session, user, err := c.authority.LiveSession(ctx, r.caller, id)
	if fault.KindOf(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	row := sessionRow{SessionWithOrigin: session, Login: user.Login, Back: r.here()}
	row.Current = isOwn(r.caller, id)
	return []sessionRow{row}, nil
}

// eventFilter returns the filters of a request.
func (c *Console) eventFilter(ctx context.Context, r *request) (f audit.Filter, err error) {
	if kind := r.text("kind"); kind != "" {
		if f.Kind, err = audit.ParseKind("kind", kind); err != nil {
			return f, err
		}
	}
	if text := r.text("session"); text != "" {
		var ok bool
		if f.Session, ok = token.ParseSessionID(text); !ok {
			return f, errSessionFilter
		}
	}
	if f.User, err = c.userNamed(ctx, r.caller, r.text("user")); err != nil {
		return f, err
	}
	if f.From, err = parseMinute(r.text("from")); err != nil {
		return f, err
	}
	if f.To, err = parseMinute(r.text("to")); err == nil && f.To != 0 {
		f.To += 59 // the whole minute
	}
	return f, err
}

var (
	errSessionFilter = fault.Invalid(t("error.session-filter"))
	errUserFilter    = fault.Invalid(t("error.user-filter"))
	errTimeFilter    = fault.Invalid(t("error.time-filter"))
)

// userNamed returns the id of the user with an id or a login, and 0 for an empty text.
func (c *Console) userNamed(ctx context.Context, caller authority.Caller, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	if id, err := strconv.ParseInt(text, 10, 64); err == nil && id > 0 {
		return id, nil
	}
	users, err := c.authority.UserByName(ctx, caller, text, "")
	if err == nil && len(users) == 0 {
		err = errUserFilter
	}
	if err != nil {
		return 0, err
	}
	return users[0].ID, nil
}

// parseMinute parses the value of a datetime-local field, and returns 0 for an empty text.
func parseMinute(text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	at, err := time.Parse("2006-01-02T15:04", text)
	if err != nil {
		return 0, errTimeFilter
	}
	return at.Unix(), nil
}

// parsePosition parses a cursor. It returns nil for a damaged one, so that the first page is shown.
func parsePosition(text string) *audit.Position {
	at, id, ok := strings.Cut(text, ".")
	var p audit.Position
	var errs [2]error
	p.At, errs[0] = strconv.ParseInt(at, 10, 64)
	p.ID, errs[1] = strconv.ParseInt(id, 10, 64)
	if !ok || firstOf(errs[:]) != nil {
		return nil
	}
	return &p
}

func kinds() []option {
	all := []option{{Text: t("audit.any")}}
	for _, kind := range audit.Kinds {
		all = append(all, option{Value: string(kind), Text: t("kind." + string(kind))})
	}
	return all
}

// eventRows adds the logins of the users to events.
func (c *Console) eventRows(ctx context.Context, caller authority.Caller, events []audit.Event) []eventRow {
	logins := map[int64]string{0: ""}
	login := func(id int64) string {
		text, ok := logins[id]
		if !ok {
			text = strconv.FormatInt(id, 10)
			if user, err := c.authority.User(ctx, caller, id); err == nil {
				text = user.Login
			}
			logins[id] = text
		}
		return text
	}
	rows := make([]eventRow, len(events))
	for i, e := range events {
		rows[i] = eventRow{
			Event: e, UserLogin: login(e.User), CallerLogin: login(e.Caller), ActorLogin: login(e.Actor),
		}
	}
	return rows
}

// recentEvents returns the last events about a user.
func (c *Console) recentEvents(ctx context.Context, caller authority.Caller, userID int64) ([]eventRow, error) {
	const recent = 10
	events, err := c.authority.Events(ctx, caller, audit.Filter{User: userID, Limit: recent}, 1)
	return c.eventRows(ctx, caller, events), err
}

// An export reads exportPage events at a time, oldest first, so that none holds the store for long. A client that does
// not take a page within exportWait, or the whole within exportTime, loses the connection, so that the download fails
// visibly.
const (
	exportPage = 500
	exportWait = 30 * time.Second
	exportTime = 10 * time.Minute
)

// exportAs returns the handler of an export. begin returns a function that writes events.
func (c *Console) exportAs(media, name string, begin func(http.ResponseWriter) func([]eventRow) error) handler {
	return func(ctx context.Context, r *request) (response, error) {
		filter, err := c.eventFilter(ctx, r)
		if err != nil {
			return response{}, err
		}
		filter.Limit = exportPage
		filter.After = new(int64)
		caller := r.caller
		events, err := c.authority.Events(ctx, caller, filter, 1)
		if err != nil {
			return response{}, err
		}
		return response{stream: func(w http.ResponseWriter) error {
			w.Header().Set("Content-Type", media)
			w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
			controller := http.NewResponseController(w)
			end := time.Now().Add(exportTime)
			write := begin(w)
			// The deadline of a request is too short for a long export.
			ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), end)
			defer cancel()
			for {
				wait := time.Now().Add(exportWait)
				if wait.After(end) {
					wait = end
				}
				_ = controller.SetWriteDeadline(wait) // a test has no connection
				if err := write(c.eventRows(ctx, caller, events)); err != nil {
					return err
				}
				if len(events) < exportPage {
					return nil
				}
				if caller, err = c.authority.Recheck(ctx, caller); err != nil {
					return err
				}
				filter.After = &events[len(events)-1].ID
				if events, err = c.authority.Events(ctx, caller, filter, 1); err != nil {
					return err
				}
			}
		}}, nil
	}
}

// exportCSV writes events as CSV with a line of names.
func exportCSV(w http.ResponseWriter) func([]eventRow) error {
	out := csv.NewWriter(w)
	_ = out.Write(strings.Fields("id time kind user login session caller actor address request detail"))
	return func(events []eventRow) error {
		for _, e := range events {
			session := ""
			if e.HasSession() {
				session = e.Session.String()
			}
			_ = out.Write([]string{
				number(e.ID), iso(e.At), string(e.Kind), number(e.User), plainCell(e.UserLogin), session,
				number(e.Caller), number(e.Actor), e.Address, plainCell(e.Request), plainCell(e.Detail),
			})
		}
		out.Flush()
		return out.Error()
	}
}

// number returns an id as text, and "" for 0.
func number(id int64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatInt(id, 10)
}

// plainCell returns a text that no spreadsheet takes for a formula.
func plainCell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

// exportJSON writes events as one JSON object a line, with the names of the API.
func exportJSON(w http.ResponseWriter) func([]eventRow) error {
	out := json.NewEncoder(w)
	return func(events []eventRow) error {
		for _, e := range events {
			line := jsonEvent{
				ID: e.ID, Time: iso(e.At), Kind: string(e.Kind), User: e.User, Login: e.UserLogin, Caller: e.Caller,
				Actor: e.Actor, Address: e.Address, Request: e.Request, Detail: e.Detail,
			}
			if e.HasSession() {
				line.Session = e.Session.String()
			}
			if err := out.Encode(line); err != nil {
				return err
			}
		}
		return nil
	}
}

// jsonEvent is a line of the export.
type jsonEvent struct {
	ID      int64  `json:"eventId"`
	Time    string `json:"time"`
	Kind    string `json:"kind"`
	User    int64  `json:"userId,omitempty"`
	Login   string `json:"login,omitempty"`
	Session string `json:"sessionId,omitempty"`
	Caller  int64  `json:"callerId,omitempty"`
	Actor   int64  `json:"actorId,omitempty"`
	Address string `json:"address,omitempty"`
	Request string `json:"requestId,omitempty"`
	Detail  string `json:"detail,omitempty"`
}
