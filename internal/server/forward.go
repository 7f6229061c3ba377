package server

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// isForwardAuth accepts the path and all paths below it, because some gateways append the path of the original request.
func isForwardAuth(path string) bool {
	return path == forwardPath || strings.HasPrefix(path, forwardPath+"/")
}

// forwardAuth answers a gateway's question whether a request may pass: 200, 401 or 403 without a body, and 503 while
// the store is unreachable. It checks only the credentials, and ignores the method and the body. With a 200, the
// headers name the caller. All of them are always set, so that a gateway that copies them overwrites a client's own
// headers under these names.
//
// The method of the gateway's question may differ from the method of the request in question. X-Forwarded-Method names
// the latter.
//
// The query can require more of the caller: level=NetworkAdmin requires NetworkAdmin or a higher level, and network=7
// requires network 7 or a level that covers every network. If a name occurs more than once, each value must hold, so
// that additions by a client cannot remove a requirement of the gateway. preflight=allow lets CORS preflights pass,
// with a 204 that names no caller, because browsers send them without credentials.
func (s *server) forwardAuth(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Cache-Control"] = noStore
	r.Pattern = forwardPath // also for the paths below it
	method := r.Header.Get("X-Forwarded-Method")
	if passesPreflight(r, cmp.Or(method, r.Method)) {
		admitPreflight(w)
		return
	}
	ctx := s.requestContext(w, r)
	caller, err := s.authenticate(ctx, r, forwardOpen, cmp.Or(method, unsafeMethod))
	if err == nil {
		err = checkRequirements(r.URL.RawQuery, caller.User.Level, caller.User.NetworkID)
	}
	if err != nil {
		s.rejectForward(w, r, err)
		return
	}
	u := caller.User
	session := "" // an API key has no session
	if caller.Session != nil {
		session = caller.Session.ID.String()
	}
	setCaller(h, ForwardCaller{
		UserID: u.ID, Login: u.Login, Level: u.Level, NetworkID: u.NetworkID, MailboxID: u.MailboxID,
		SessionID: session,
	})
	w.WriteHeader(http.StatusOK)
}

// ForwardCaller is the caller that a 200 of /forward-auth names.
type ForwardCaller struct {
	UserID               int64
	Login                string
	Level                authority.Level
	NetworkID, MailboxID int64
	SessionID            string // empty without a session
}

// setCaller sets callerHeaders.
func setCaller(h http.Header, c ForwardCaller) {
	h.Set("X-Auth-User-Id", strconv.FormatInt(c.UserID, 10))
	h.Set("X-Auth-Login", headerText(c.Login))
	h.Set("X-Auth-Level", c.Level.String())
	h.Set("X-Auth-Network-Id", strconv.FormatInt(c.NetworkID, 10))
	h.Set("X-Auth-Mailbox-Id", strconv.FormatInt(c.MailboxID, 10))
	h["X-Auth-Session-Id"] = []string{c.SessionID}
}

// admitPreflight answers for a preflight, which has no caller.
func admitPreflight(w http.ResponseWriter) {
	for _, name := range callerHeaders {
		w.Header()[name] = []string{""}
	}
	w.WriteHeader(http.StatusNoContent)
}

// callerHeaders are the headers that name the caller.
var callerHeaders = []string{
	"X-Auth-User-Id", "X-Auth-Login", "X-Auth-Level", "X-Auth-Network-Id", "X-Auth-Mailbox-Id", "X-Auth-Session-Id",
}

// passesPreflight reports whether the request in question is a preflight, and the gateway lets preflights pass. A
// gateway that appends the path of the request also appends its query, which the client chooses. So preflight=allow
// counts only without an appended path.
func passesPreflight(r *http.Request, method string) bool {
	if method != http.MethodOptions || r.URL.Path != forwardPath || r.Header.Get("Origin") == "" ||
		r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	return slices.Contains(strings.Split(r.URL.RawQuery, "&"), "preflight=allow")
}

// rejectForward answers with the status of an error, and no body.
func (s *server) rejectForward(w http.ResponseWriter, r *http.Request, err error) {
	known := s.explain(w, r, err)
	status := errorTable[known.Kind].status
	if known.RetryAfter > 0 {
		w.Header().Set("Retry-After", retryAfter(known))
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", challenge(r, known.Kind))
	}
	w.WriteHeader(status)
}

var errRequirement = &fault.Error{Kind: fault.AccessDenied, Message: "The gateway requires another level or network."}

// checkRequirements checks the level and the network of a user against the requirements of a query. An invalid level or
// network rejects every user. It parses the query itself, because net/url would silently drop a value with a wrong
// escape or a semicolon, and with it the requirement.
func checkRequirements(query string, own authority.Level, network int64) error {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, _ = url.QueryUnescape(name)
		value, _ = url.QueryUnescape(value) // "" if it is malformed
		switch strings.ToLower(name) {
		case "level":
			if level, err := authority.ParseLevel("level", value); err != nil || own > level {
				return errRequirement
			}
		case "network":
			id, err := strconv.ParseInt(value, 10, 64)
			if err != nil || network != id && own > authority.NetOps {
				return errRequirement
			}
		}
	}
	return nil
}

// headerText percent-encodes the percent sign, and all bytes that a header value may not contain (RFC 9110, 5.5).
func headerText(text string) string {
	var b strings.Builder
	for _, ch := range []byte(text) {
		if ch > ' ' && ch < 0x7f && ch != '%' {
			b.WriteByte(ch)
		} else {
			b.WriteString("%" + strings.ToUpper(strconv.FormatInt(int64(ch)+0x100, 16)[1:]))
		}
	}
	return b.String()
}
