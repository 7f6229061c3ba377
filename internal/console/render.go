package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
	"github.com/pawlauth/pawl/internal/look"
)

const (
	typeHTML   = "text/html; charset=utf-8"
	typeCSS    = "text/css; charset=utf-8"
	typeScript = "text/javascript; charset=utf-8"
)

var (
	//go:embed pages
	pageFiles embed.FS
	//go:embed console.css
	ownStyle []byte
	//go:embed console.js
	script []byte
	//go:embed icon.svg
	icon []byte

	style = slices.Concat(look.Base, ownStyle)
)

// pages has the parsed templates, by name.
type pages map[string]*template.Template

// parsePages parses each file of pages together with layout.html and parts.html. It panics if a template has an error,
// because the templates are part of the program.
func (c *Console) parsePages() pages {
	functions := template.FuncMap{
		"t": t, "word": word, "base": func() string { return c.base }, "ago": c.ago, "until": c.until, "when": c.when,
		"exact": exact, "iso": iso,
		"agent": describeAgent, "columns": func(texts ...string) []string { return texts },
	}
	shared := template.New("").Funcs(functions)
	shared = template.Must(shared.ParseFS(pageFiles, "pages/layout.html", "pages/parts.html"))
	all := pages{}
	files, _ := pageFiles.ReadDir("pages") // an embedded folder can always be read
	for _, file := range files {
		name := strings.TrimSuffix(file.Name(), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		all[name] = template.Must(template.Must(shared.Clone()).ParseFS(pageFiles, "pages/"+file.Name()))
	}
	return all
}

// frame is the data of layout.html. The templates of the pages get it too.
type frame struct {
	Title  string
	Page   string
	User   *authority.User // nil on a public page
	Menu   []menuItem
	Notice string
	Data   any
}

// menuItem is a link of the menu.
type menuItem struct {
	Path    string
	Text    string
	Current bool
}

// menu returns the pages that the user may open.
func menu(u *authority.User, path string) []menuItem {
	if u == nil {
		return nil
	}
	var items []menuItem
	add := func(show bool, to, text string) {
		if show {
			current := path == to || to != "/" && strings.HasPrefix(path, to+"/")
			items = append(items, menuItem{Path: strings.TrimSuffix(to, "/"), Text: text, Current: current})
		}
	}
	add(u.Level <= authority.NetOps, "/", t("overview.title"))
	add(u.IsAdmin(), "/people", t("menu.people"))
	add(u.IsAdmin(), "/sessions", t("sessions.title"))
	add(u.IsAdmin(), "/audit", t("menu.audit"))
	add(u.Level == authority.Root, "/signing-keys", t("signing.title"))
	add(u.Level <= authority.NetOps, "/settings", t("settings.title"))
	return items
}

// render writes a page.
func (c *Console) render(w http.ResponseWriter, r *request, result response) {
	f := frame{Title: result.title, Page: result.page, User: r.caller.User, Data: result.data}
	f.Menu = menu(f.User, r.URL.Path)
	f.Notice = notice(r.URL.Query())
	var out bytes.Buffer
	if err := c.pages[result.page].ExecuteTemplate(&out, "layout", f); err != nil {
		c.log.ErrorContext(r.Context(), "internal error", "page", result.page, "err", err)
		http.Error(w, t("error.internal"), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", typeHTML)
	if result.wait > 0 {
		w.Header().Set("Retry-After", number(seconds(result.wait)))
	}
	if result.status != 0 {
		w.WriteHeader(result.status)
	}
	_, _ = w.Write(out.Bytes()) // fails only if the client has disconnected
}

// notice returns the result of the last action. An address can name only a text of english.go, so that no link puts
// foreign words into a page.
func notice(query url.Values) string {
	text, ok := english["done."+query.Get("done")]
	if !ok || strings.Contains(text, "%") {
		return ""
	}
	return text
}

// errorPage is the data of error.html.
type errorPage struct {
	Message string
	Back    bool // whether the person may repeat a form
}

// fail answers with an error. A person who is signed out gets the sign-in page, and returns to the same page after it.
func (c *Console) fail(w http.ResponseWriter, r *request, err error) {
	status := statusOf(err)
	if status == http.StatusUnauthorized && r.Header.Get(pollHeader) == "" {
		next := c.base + "/sign-in"
		if r.Method == http.MethodGet && r.URL.Path != "/" {
			next += "?next=" + url.QueryEscape(c.base+r.URL.RequestURI())
		}
		w.Header().Set("Location", next)
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	if _, ok := errors.AsType[*fault.Error](err); !ok {
		c.log.ErrorContext(r.Context(), "internal error", "path", r.Pattern, "err", err)
	}
	c.render(w, r, response{
		page: "error", title: t("error.title"), status: status,
		data: errorPage{Message: messageOf(err), Back: r.Method == http.MethodPost},
	}.after(err))
}

// messageOf returns the message of an error for a person, who does not see the header Retry-After.
func messageOf(err error) string {
	known, ok := errors.AsType[*fault.Error](err)
	switch {
	case !ok:
		return t("error.internal")
	case known.Kind == fault.RateLimited && known.RetryAfter > 0:
		return t("error.wait", length(seconds(known.RetryAfter)))
	}
	return known.Message
}

// after returns the response with how long a person should wait after an error.
func (r response) after(err error) response {
	known, ok := errors.AsType[*fault.Error](err)
	switch {
	case ok && known.RetryAfter > 0:
		r.wait = known.RetryAfter
	case ok && (known.Kind == fault.Unavailable || known.Kind == fault.RateLimited):
		r.wait = time.Second
	}
	return r
}

// seconds returns a duration in whole seconds, rounded up.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// statusOf returns the HTTP status of an error.
func statusOf(err error) int {
	switch fault.KindOf(err) {
	case fault.InvalidParameter, fault.Duplicate:
		return http.StatusBadRequest
	case fault.InvalidCredentials, fault.InvalidSession, fault.InvalidAPIKey:
		return http.StatusUnauthorized
	case fault.AccessDenied:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.RateLimited:
		return http.StatusTooManyRequests
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// static adds a file that a browser may keep as long as it does not change.
func (c *Console) static(path, media string, text []byte) {
	sum := sha256.Sum256(text)
	etag := `"` + hex.EncodeToString(sum[:12]) + `"`
	c.handle("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", media)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", etag)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
	})
}
