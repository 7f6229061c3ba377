package console

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/fault"
)

// form is the data of a page with fields.
type form struct {
	Intro  string
	Fields []field
	Button string
	Action string // the path of the form
	Back   string // the path of the page before
	Error  string
	// Username is the login that a new password belongs to, for password managers.
	Username string
	title    string
}

// field is a field of a form.
type field struct {
	Name     string
	Label    string
	Hint     string
	Type     string // of the input; "" is text, "select" has Options, "checkbox" is on if Value is not empty
	Value    string
	Complete string // autocomplete
	Options  []option
	Required bool
	Was      *string // the stored value that the form was filled in with; nil if the field changes nothing stored
}

// stored returns a field with a stored value.
func stored(value string, f field) field {
	f.Value, f.Was = value, &value
	return f
}

// option is a value of a select field.
type option struct {
	Value string
	Text  string
}

// form adds a path with a form. If the action rejects the form, the person gets it again, filled in, with the message.
func (c *Console) form(path string, show func(context.Context, *request) (form, error), act handler) {
	page := func(f form, status int) response {
		return response{page: "form", title: f.title, data: f, status: status}
	}
	c.signedIn("GET "+path, func(ctx context.Context, r *request) (response, error) {
		f, err := show(ctx, r)
		return page(f, http.StatusOK), err
	})
	c.signedIn("POST "+path, func(ctx context.Context, r *request) (response, error) {
		result, err := act(ctx, r)
		if !isMistake(err) {
			return result, err
		}
		f, showErr := show(ctx, r)
		if showErr != nil {
			return response{}, showErr
		}
		for i := range f.Fields {
			if f.Fields[i].Type != "password" {
				f.Fields[i].Value = r.PostForm.Get(f.Fields[i].Name)
			}
		}
		f.Error = messageOf(err)
		return page(f, statusOf(err)).after(err), nil
	})
}

// isMistake reports whether a person can mend the form that caused an error.
func isMistake(err error) bool {
	known, ok := errors.AsType[*fault.Error](err)
	if !ok {
		return false
	}
	switch known.Kind {
	case fault.InvalidParameter, fault.Duplicate, fault.AccessDenied, fault.InvalidCredentials, fault.RateLimited:
		return true
	}
	return false
}

// text returns a field of the form, without white space around it.
func (r *request) text(name string) string { return strings.TrimSpace(r.FormValue(name)) }

// edits reads the fields of a form that a person has changed.
type edits struct {
	r   *request
	err error // of the first field that another person has changed since the form was opened
}

// text returns the new text of a field, or nil if the person has not changed it, so that a form opened some time ago
// does not undo what another person has changed meanwhile. If both have changed one field, the second person gets an
// error with the first change, and can send the form again.
func (e *edits) text(name, label, now string) *string {
	text, was := e.r.text(name), now
	if names := e.r.PostForm[wasPrefix+name]; len(names) > 0 {
		was = names[0]
	}
	if !e.r.PostForm.Has(name) || text == strings.TrimSpace(was) || text == now {
		return nil
	}
	if was != now && e.err == nil {
		e.err = fault.Invalid(t("form.conflict", t(label), now))
	}
	return &text
}

// number is text for a number. An empty field is no change.
func (e *edits) number(name, label string, now int64) (*int64, error) {
	text := e.text(name, label, strconv.FormatInt(now, 10))
	if text == nil {
		return nil, nil
	}
	return e.r.number(name, label)
}

// wasPrefix begins the name of the hidden field with the stored value of a field.
const wasPrefix = "was-"

// number returns the number in a field, or nil if the field is empty.
func (r *request) number(name, label string) (*int64, error) {
	text := r.text(name)
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fault.Invalid(t("form.number", t(label)))
	}
	return &n, nil
}

// levelsFrom returns the levels that a user of a level can give.
func levelsFrom(highest authority.Level) []option {
	var all []option
	for level := highest; level <= authority.General; level++ {
		all = append(all, option{Value: level.String(), Text: word("level", level)})
	}
	return all
}
