package server

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

const forwardPath = "/forward-auth"

// isForwardAuth takes the path and all below it: some gateways add the path
// that they were asked for, whatever that is.
func isForwardAuth(path string) bool {
	return path == forwardPath || strings.HasPrefix(path, forwardPath+"/")
}

// forwardAuth tells a gateway whether a request may pass: 200, 401 or 403, and
// 503 while the store is away, with no body. It looks at the credentials alone,
// never at the method or the body. With a 200 it says who the caller is, in
// headers that are all there, so that a gateway that copies them overwrites
// whatever the client sent under their names.
//
// The query may want more of the caller: level=NetworkAdmin, that level or one
// above it; network=7, that network or a level of every network. Where one is there more than once, each
// must hold: what a client adds cannot take away what the gateway wants.
func (s *Server) forwardAuth(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h["Cache-Control"] = noStore
	r.Pattern = forwardPath // whatever the gateway adds
	ctx, cancel := requestContext(w, r)
	defer cancel()
	caller, err := s.caller(ctx, r)
	if err == nil {
		err = wanted(r.URL.RawQuery, caller.User)
	}
	if err != nil {
		s.refuseForward(w, r, err)
		return
	}
	u := caller.User
	h.Set("X-Auth-User-Id", strconv.FormatInt(u.ID, 10))
	h.Set("X-Auth-Login", headerText(u.Login))
	h.Set("X-Auth-Level", u.Level.String())
	h.Set("X-Auth-Network-Id", strconv.FormatInt(u.NetworkID, 10))
	h.Set("X-Auth-Mailbox-Id", strconv.FormatInt(u.MailboxID, 10))
	h["X-Auth-Session-Id"] = []string{""} // a key has none
	if caller.Session != nil {
		h.Set("X-Auth-Session-Id", caller.Session.ID.String())
	}
	w.WriteHeader(http.StatusOK)
}

// refuseForward answers with the status of an error, and no body.
func (s *Server) refuseForward(w http.ResponseWriter, r *http.Request, err error) {
	known, ok := errors.AsType[*fault.Error](err)
	if !ok || known.Err != nil {
		s.log.WarnContext(withRequestID(r.Context(), w), "forward-auth", "err", err)
	}
	status := http.StatusInternalServerError
	if ok {
		status = answers[known.Kind].status
		if known.RetryAfter > 0 {
			w.Header().Set("Retry-After", retryAfter(known))
		}
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", challenge(r, known.Kind))
		}
	}
	w.WriteHeader(status)
}

var errNotWanted = &fault.Error{Kind: fault.AccessDenied, Message: "The gateway wants another level or network."}

// wanted holds a user to what the query wants. A level that is none, and a
// network that is no number, let nobody pass: also where the escapes or a
// semicolon are wrong, which url.Values would leave out.
func wanted(query string, u *authority.User) error {
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		name, _ = url.QueryUnescape(name)
		value, _ = url.QueryUnescape(value) // "" if it cannot be read
		switch strings.ToLower(name) {
		case "level":
			if level, err := authority.ParseLevel("level", value); err != nil || u.Level > level {
				return errNotWanted
			}
		case "network":
			if id, err := strconv.ParseInt(value, 10, 64); err != nil || u.NetworkID != id && u.Level > authority.NetOps {
				return errNotWanted
			}
		}
	}
	return nil
}

// headerText percent-encodes what a header cannot carry as it is (RFC 9110,
// 5.5), and the percent sign.
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
