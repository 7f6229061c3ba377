// Package docs renders the API page from openapi.yaml. The page is complete without a script: a script only adds the
// search, and the forms that send a call. document.go reads openapi.yaml, and view.go turns it into the data of
// page.html.
package docs

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"slices"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/look"
)

var (
	//go:embed docs.css
	styleText []byte
	// Script is docs/docs.js.
	//
	//go:embed docs.js
	Script []byte
	//go:embed page.html
	pageText string
	//go:embed missing.html
	missingText string
)

// Style is docs/docs.css.
var Style = slices.Concat(look.Base, styleText)

// Page returns the API page of a server with this version of the program. The links in it begin with the prefix, which
// is empty or a path without a slash at its end.
func Page(build, prefix string) ([]byte, error) {
	document, err := parse(api.OpenAPI())
	if err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	view, err := newPageView(document, build, prefix)
	if err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	return render("page", pageText, view)
}

// Missing returns the page for a path that does not exist. It links to the API page below the prefix.
func Missing(prefix string) ([]byte, error) {
	return render("missing", missingText, struct{ Prefix string }{prefix})
}

func render(name, text string, data any) ([]byte, error) {
	t, err := template.New(name).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, data); err != nil {
		return nil, fmt.Errorf("docs: %w", err)
	}
	return out.Bytes(), nil
}
