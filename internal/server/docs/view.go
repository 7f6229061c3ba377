package docs

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/yuin/goldmark"
)

// pageView is the data of page.html.
type pageView struct {
	Title, Version, Build string
	Prefix                string // of the links
	About                 template.HTML
	Envelope              []fieldView
	Groups                []groupView
}

type groupView struct {
	Name  string
	About template.HTML
	Calls []callView
}

type callView struct {
	ID, Method, Path, Summary string
	Access                    string // the credentials of the call
	Search                    string // the text that the search looks at
	Deprecated                bool
	About                     template.HTML
	Parameters                []fieldView
	MediaType                 string // of the body; empty without a body
	BodyRequired              bool
	BodyAbout                 template.HTML
	Body                      []fieldView
	Example                   string // of the body
	Responses                 []responseView
}

type responseView struct {
	Status     string
	About      template.HTML
	ErrorCodes []string
	Headers    []fieldView
	Fields     []fieldView
	Examples   []string
}

// fieldView describes a parameter, a header, or a field of a body. The name of a nested field has those of the fields
// around it, as in data.token or data[].userId.
type fieldView struct {
	Name, In, Type, Limits string
	Required               bool
	InResponse             bool // then most fields are always there, and the page marks the others
	Values                 []string
	About                  template.HTML
	Example                string // of a parameter
}

// Need returns a note on whether the field is always there.
func (f fieldView) Need() string {
	switch {
	case f.Required && !f.InResponse:
		return "required"
	case !f.Required && f.InResponse:
		return "may be missing"
	}
	return ""
}

// newPageView collects the data of the page. Build is the version of the program, and prefix that of the links.
func newPageView(d *document, build, prefix string) (pageView, error) {
	about, err := markdown(d.Info.Description)
	if err != nil {
		return pageView{}, err
	}
	envelope, err := d.fields("", d.Components.Schemas.values["ErrorEnvelope"])
	view := pageView{
		Title: d.Info.Title, Version: d.Info.Version, Build: build, Prefix: prefix, About: about, Envelope: envelope,
	}
	for _, tag := range d.Tags {
		if err != nil {
			return pageView{}, err
		}
		var group groupView
		group, err = d.group(tag.Name, tag.Description)
		view.Groups = append(view.Groups, group)
	}
	return view, err
}

// group returns the calls with a tag.
func (d *document) group(tag, description string) (groupView, error) {
	about, err := markdown(description)
	if err != nil {
		return groupView{}, err
	}
	group := groupView{Name: tag, About: about}
	for path, item := range d.Paths.all {
		for method, operation := range item.all {
			if !slices.Contains(operation.Tags, tag) {
				continue
			}
			call, err := d.call(strings.ToUpper(method), path, operation)
			if err != nil {
				return groupView{}, fmt.Errorf("%s: %w", operation.ID, err)
			}
			group.Calls = append(group.Calls, call)
		}
	}
	return group, nil
}

// call returns one call.
func (d *document) call(method, path string, o operation) (callView, error) {
	about, err := markdown(o.Description)
	if err != nil {
		return callView{}, err
	}
	call := callView{
		ID: o.ID, Method: method, Path: path, Summary: strings.TrimSuffix(o.Summary, "."), Access: d.access(o),
		Deprecated: o.Deprecated, About: about,
	}
	if call.Parameters, err = d.parameters(o); err != nil {
		return callView{}, err
	}
	if o.RequestBody != nil {
		call.MediaType = o.RequestBody.Content.names[0]
		call.BodyRequired = o.RequestBody.Required
		body := o.RequestBody.Content.values[call.MediaType]
		schema, err := d.schema(body.Schema)
		if err != nil {
			return callView{}, err
		}
		if call.BodyAbout, err = markdown(schema.Description); err != nil {
			return callView{}, err
		}
		if call.Body, err = d.fields("", schema); err != nil {
			return callView{}, err
		}
		if call.Example, err = encodeBody(call.MediaType, body.Example); err != nil {
			return callView{}, err
		}
	}
	for status, response := range o.Responses.all {
		view, err := d.response(status, response)
		if err != nil {
			return callView{}, err
		}
		call.Responses = append(call.Responses, view)
	}
	call.Search = searchText(call)
	return call, nil
}

// searchText returns the names and texts of a call in lower case. It leaves out the errors, because nearly all calls
// have the same.
func searchText(c callView) string {
	words := []string{c.ID, c.Method, c.Path, c.Summary, c.Access, string(c.About)}
	fields := slices.Concat(c.Parameters, c.Body)
	for _, response := range c.Responses {
		if strings.HasPrefix(response.Status, "2") {
			fields = slices.Concat(fields, response.Fields, response.Headers)
		}
	}
	for _, field := range fields {
		words = append(words, field.Name)
		words = append(words, field.Values...)
	}
	return strings.ToLower(strings.Join(words, " "))
}

// accessNames has the texts for the names of the security schemes.
var accessNames = map[string]string{
	"bearer": "token", "apiKey": "API key", "cookie": "cookie", "keyAsBearer": "API key as a Bearer",
	"keyAsPassword": "API key as the password of Basic",
}

// access returns the credentials of a call, such as "token or API key".
func (d *document) access(o operation) string {
	alternatives := d.Security
	if o.Security != nil {
		alternatives = *o.Security
	}
	optional := len(alternatives) == 0
	var names []string
	for _, schemes := range alternatives {
		optional = optional || len(schemes) == 0
		for scheme := range schemes {
			if len(schemes) == 1 {
				names = append(names, cmp.Or(accessNames[scheme], scheme))
			}
		}
	}
	text := strings.Join(names, " or ")
	switch {
	case text == "":
		return "public"
	case optional:
		return "optional " + text
	}
	return text
}

// parameters returns the parameters of a call.
func (d *document) parameters(o operation) ([]fieldView, error) {
	var views []fieldView
	for _, p := range o.Parameters {
		p, err := component(d.Components.Parameters, p.Ref, p)
		if err != nil {
			return nil, err
		}
		view, _, err := d.field(p.Name, p.Schema, p.Required)
		if err != nil {
			return nil, err
		}
		if p.Description != "" {
			if view.About, err = markdown(p.Description); err != nil {
				return nil, err
			}
		}
		view.In = p.In
		view.Example = fmt.Sprint(p.Example)
		views = append(views, view)
	}
	return views, nil
}

// response returns one response of a call. It leaves out the fields of an envelope that are the same in every response.
func (d *document) response(status string, r response) (responseView, error) {
	r, err := component(d.Components.Responses, r.Ref, r)
	if err != nil {
		return responseView{}, err
	}
	about, err := markdown(r.Description)
	if err != nil {
		return responseView{}, err
	}
	view := responseView{Status: status, About: about, ErrorCodes: r.ErrorCodes}
	for name, h := range r.Headers.all {
		if name == "X-Request-Id" || name == "Cache-Control" {
			continue // on every response
		}
		if h, err = component(d.Components.Headers, h.Ref, h); err != nil {
			return responseView{}, err
		}
		field, _, err := d.field(name, h.Schema, true)
		if err != nil {
			return responseView{}, err
		}
		if h.Description != "" {
			if field.About, err = markdown(h.Description); err != nil {
				return responseView{}, err
			}
		}
		field.InResponse = true
		view.Headers = append(view.Headers, field)
	}
	for _, m := range r.Content.all {
		if len(r.ErrorCodes) == 0 {
			fields, err := d.fields("", m.Schema)
			if err != nil {
				return responseView{}, err
			}
			view.Fields = withoutEnvelope(fields)
			for i := range view.Fields {
				view.Fields[i].InResponse = true
			}
		}
		if view.Examples, err = encodeExamples(m); err != nil {
			return responseView{}, err
		}
	}
	return view, nil
}

// withoutEnvelope removes the fields of an envelope that every success has.
func withoutEnvelope(fields []fieldView) []fieldView {
	if len(fields) == 0 || fields[0].Name != "success" {
		return fields
	}
	return slices.DeleteFunc(fields, func(f fieldView) bool {
		noMessage := f.Name == "message" && slices.Equal(f.Values, []string{`""`})
		return noMessage || f.Name == "success" || f.Name == "errorCode"
	})
}

func encodeExamples(m media) ([]string, error) {
	examples := []any{m.Example}
	if m.Example == nil {
		examples = nil
		for _, e := range m.Examples.all {
			examples = append(examples, e.Value)
		}
	}
	var texts []string
	for _, example := range examples {
		text, err := encodeExample(example)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

// encodeBody returns the example of a body as JSON, or as a form.
func encodeBody(mediaType string, example any) (string, error) {
	fields, ok := example.(yaml.MapSlice)
	if mediaType != "application/x-www-form-urlencoded" || !ok {
		return encodeExample(example)
	}
	var form []string
	for _, field := range fields {
		form = append(form, url.QueryEscape(fmt.Sprint(field.Key))+"="+url.QueryEscape(fmt.Sprint(field.Value)))
	}
	return strings.Join(form, "&"), nil
}

// fields returns the fields of an object, each followed by its own fields.
func (d *document) fields(prefix string, s schema) ([]fieldView, error) {
	s, err := d.schema(s)
	if err != nil {
		return nil, err
	}
	var views []fieldView
	for name, property := range s.Properties.all {
		view, inner, err := d.field(prefix+name, property, slices.Contains(s.Required, name))
		if err != nil {
			return nil, err
		}
		views = append(views, view)
		views = append(views, inner...)
	}
	return views, nil
}

// field returns one field, and the fields inside it.
func (d *document) field(name string, s schema, required bool) (view fieldView, inner []fieldView, err error) {
	if s, err = d.schema(s); err != nil {
		return view, nil, err
	}
	view = fieldView{Name: name, Type: typeName(s), Limits: limits(s), Required: required, Values: values(s)}
	if view.Type == "time" && s.Description == d.Components.Schemas.values["Time"].Description {
		s.Description = "" // the page explains it once
	}
	if view.About, err = markdown(s.Description); err != nil {
		return view, nil, err
	}
	if s.Items != nil {
		items, err := d.schema(*s.Items)
		if err != nil {
			return view, nil, err
		}
		view.Type = "list of " + typeName(items) + "s"
		view.Values = values(items)
		inner, err = d.fields(name+"[].", items)
		return view, inner, err
	}
	inner, err = d.fields(name+".", s)
	return view, inner, err
}

// typeName returns the name of a type for readers.
func typeName(s schema) string {
	name, null := fmt.Sprint(s.Type), ""
	if types, ok := s.Type.([]any); ok {
		name, null = fmt.Sprint(types[0]), " or null"
	}
	switch s.Format {
	case "date-time":
		name = "time"
	case "email":
		name = "email address"
	case "uri":
		name = "URL"
	}
	return name + null
}

// values returns the permitted values of an enum. A text that needs quotes to be visible has them.
func values(s schema) (texts []string) {
	for _, value := range s.Enum {
		text := fmt.Sprint(value)
		if strings.TrimSpace(text) == "" {
			text = fmt.Sprintf("%q", text)
		}
		texts = append(texts, text)
	}
	return texts
}

// limits returns the limits of a value, such as "1 to 500" or "at most 254 characters".
func limits(s schema) string {
	var texts []string
	for _, limit := range []struct {
		min, max *int64
		unit     string
	}{
		{min: s.Minimum, max: s.Maximum},
		{min: s.MinLength, max: s.MaxLength, unit: " characters"},
		{max: s.MaxItems, unit: " items"},
	} {
		switch {
		case limit.min != nil && limit.max != nil:
			texts = append(texts, fmt.Sprintf("%d to %d%s", *limit.min, *limit.max, limit.unit))
		case limit.max != nil:
			texts = append(texts, fmt.Sprintf("at most %d%s", *limit.max, limit.unit))
		case limit.min != nil && !(limit.unit != "" && *limit.min == 1):
			texts = append(texts, fmt.Sprintf("at least %d%s", *limit.min, limit.unit))
		case limit.min != nil:
			texts = append(texts, "not empty")
		}
	}
	if s.Default != nil {
		texts = append(texts, fmt.Sprintf("by default %v", s.Default))
	}
	return strings.Join(texts, ", ")
}

// paragraph matches text that is one paragraph.
var paragraph = regexp.MustCompile(`(?s)^<p>((?:[^<]|<[^/]|</[^p])*)</p>\n$`)

// markdown renders a description. HTML in it is left out. A single paragraph has no <p>, so that it can be part of a
// line.
func markdown(text string) (template.HTML, error) {
	if text == "" {
		return "", nil
	}
	var out bytes.Buffer
	if err := goldmark.Convert([]byte(text), &out); err != nil {
		return "", err
	}
	return template.HTML(paragraph.ReplaceAllString(out.String(), "$1")), nil
}
