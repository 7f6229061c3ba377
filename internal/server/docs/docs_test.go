package docs_test

import (
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi/datamodel/high/base"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"

	"github.com/pawlauth/pawl/internal/server/docs"
	"github.com/pawlauth/pawl/internal/test/apicheck"
)

// section returns the part of the page about one call, as text with its tags.
func section(t *testing.T, page, id string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, `<details id="`+id+`">`)
	if !ok {
		t.Fatalf("the page has no call %s", id)
	}
	call, _, _ := strings.Cut(rest, `<div class="call"`)
	return html.UnescapeString(call)
}

// TestPageShowsSchemas reads openapi.yaml with another parser, and checks that the page shows each field of each body
// and of each successful response, with its values.
func TestPageShowsSchemas(t *testing.T) {
	text, err := docs.Page("v1.2.3", "")
	if err != nil {
		t.Fatal(err)
	}
	fields := 0
	for path, item := range apicheck.Model(t).Paths.PathItems.FromOldest() {
		for _, operation := range item.GetOperations().FromOldest() {
			call := section(t, string(text), operation.OperationId)
			for _, part := range []string{">" + path + "</code>", strings.TrimSuffix(operation.Summary, ".")} {
				if !strings.Contains(call, part) {
					t.Errorf("%s does not show %q", operation.OperationId, part)
				}
			}
			for _, schema := range bodies(operation) {
				fields += checkFields(t, operation.OperationId, call, "", schema)
			}
			for status := range operation.Responses.Codes.KeysFromOldest() {
				if !strings.Contains(call, "<b>"+status+"</b>") {
					t.Errorf("%s does not show the status %s", operation.OperationId, status)
				}
			}
		}
	}
	if fields < 200 {
		t.Errorf("checked only %d fields", fields)
	}
}

// bodies returns the schemas of the request and of the response with 200.
func bodies(o *v3.Operation) (schemas []*base.Schema) {
	if o.RequestBody != nil {
		for media := range o.RequestBody.Content.ValuesFromOldest() {
			schemas = append(schemas, media.Schema.Schema())
		}
	}
	if ok := o.Responses.Codes.GetOrZero("200"); ok != nil && ok.Content != nil {
		for media := range ok.Content.ValuesFromOldest() {
			schemas = append(schemas, media.Schema.Schema())
		}
	}
	return schemas
}

// checkFields checks the fields of an object, and those inside them. It returns their number.
func checkFields(t *testing.T, id, call, prefix string, schema *base.Schema) (n int) {
	if schema.Properties == nil {
		return 0 // a text, such as a stream of events
	}
	envelope := prefix == "" && schema.Properties.GetOrZero("errorCode") != nil
	for name, proxy := range schema.Properties.FromOldest() {
		if envelope && name != "data" {
			continue // the page explains it once
		}
		n++
		property := proxy.Schema()
		item := regexp.MustCompile(`<li><code class="name">` + regexp.QuoteMeta(prefix+name) + `</code>(?s:.*?)</li>`)
		for _, value := range property.Enum {
			if value.Value != "" && !strings.Contains(strings.Join(item.FindAllString(call, -1), ""), value.Value) {
				t.Errorf("%s: %s%s does not show the value %s", id, prefix, name, value.Value)
			}
		}
		if !item.MatchString(call) {
			t.Errorf("%s does not show the field %s%s", id, prefix, name)
		}
		inner := prefix + name + "."
		if property.Items != nil {
			property, inner = property.Items.A.Schema(), prefix+name+"[]."
		}
		if property.Properties != nil {
			n += checkFields(t, id, call, inner, property)
		}
	}
	return n
}

// TestPageDetails checks one field of each kind.
func TestPageDetails(t *testing.T) {
	text, err := docs.Page("v1.2.3", "/auth")
	if err != nil {
		t.Fatal(err)
	}
	for id, parts := range map[string][]string{
		"createUser": {
			`<code class="name">authLevel</code> <span class="type">string</span> `,
			`<span class="about">By default MailboxUser.`,
			`<code>NetworkAdmin</code>`,
			`One of <code>login</code> and <code>loginName</code>`,
			`<code class="name">login</code> <span class="type">string, 1 to 254 characters</span></li>`,
			`Credentials: token or API key or cookie`, `<code>DuplicateObject</code>`,
		},
		"updateUser": {
			`<code class="name">userId</code> <span class="type">integer, at least 1</span> ` +
				`<span class="need">required<`,
		},
		"listSessions": {
			`may be left out`, `<code class="name">data</code> <span class="type">list of objects</span>`,
			`<code class="name">data[].lastRefreshed</code> <span class="type">time or null</span>`,
		},
		"introspect": {`application/x-www-form-urlencoded`, `name="body" rows="6" spellcheck="false">token=eyJ`},
		"jwks":       {`Credentials: public`, `<code class="name">keys[].crv</code>`},
		"refresh":    {`<code class="name">Idempotency-Key</code> <span class="type">header, string, not empty</span>`},
		"readKeyBack": {
			`class="path deprecated"`, `API keys are stored as a hash`, `value="4821"`,
		},
		"login": {`<code>email</code>`, `<code>InvalidCredentials</code>`},
	} {
		call := section(t, string(text), id)
		for _, part := range parts {
			if !strings.Contains(call, part) {
				t.Errorf("%s does not have %s", id, part)
			}
		}
	}
	for _, part := range []string{
		"v1.2.3", `href="/auth/docs/docs.css"`, `data-prefix="/auth"`, `<code>errorCode</code>`,
	} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the page does not have %s", part)
		}
	}
	if regexp.MustCompile(`Credentials:[^<]* or (or|<)`).Match(text) {
		t.Error("the page does not name the credentials of a call")
	}
	if regexp.MustCompile("`[a-z]").Match(text) {
		t.Error("the page has Markdown that is not rendered")
	}
}
