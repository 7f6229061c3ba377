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
		f.Error = err.Error()
		return page(f, statusOf(err)), nil
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
		all = append(all, option{Value: level.String(), Text: level.String()})
	}
	return all
}
