package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
)

// document has the parts of openapi.yaml that the page shows.
type document struct {
	Info struct {
		Title       string
		Description string
		Version     string
	}
	Tags []struct {
		Name        string
		Description string
	}
	Security   []map[string][]string
	Paths      ordered[ordered[operation]]
	Components struct {
		Parameters ordered[parameter]
		Responses  ordered[response]
		Headers    ordered[header]
		Schemas    ordered[schema]
	}
}

type operation struct {
	ID          string `yaml:"operationId"`
	Tags        []string
	Summary     string
	Description string
	Deprecated  bool
	Security    *[]map[string][]string // nil: that of the document
	Parameters  []parameter
	RequestBody *struct {
		Required bool
		Content  ordered[media]
	} `yaml:"requestBody"`
	Responses ordered[response]
}

type parameter struct {
	Ref         string `yaml:"$ref"`
	Name        string
	In          string
	Required    bool
	Description string
	Schema      schema
	Example     any
}

type response struct {
	Ref         string `yaml:"$ref"`
	Description string
	ErrorCodes  []string `yaml:"x-error-codes"`
	Headers     ordered[header]
	Content     ordered[media]
}

type header struct {
	Ref         string `yaml:"$ref"`
	Description string
	Schema      schema
}

type media struct {
	Schema   schema
	Example  any
	Examples ordered[struct{ Value any }]
}

type schema struct {
	Ref         string `yaml:"$ref"`
	Type        any    // a name, or a list of a name and "null"
	Format      string
	Description string
	Enum        []any
	Default     any
	Minimum     *int64
	Maximum     *int64
	MinLength   *int64 `yaml:"minLength"`
	MaxLength   *int64 `yaml:"maxLength"`
	MaxItems    *int64 `yaml:"maxItems"`
	Required    []string
	Properties  ordered[schema]
	Items       *schema
}

// ordered is a map that keeps the order of its names in the file.
type ordered[T any] struct {
	names  []string
	values map[string]T
}

// UnmarshalYAML decodes a map.
func (o *ordered[T]) UnmarshalYAML(decode func(any) error) error {
	var items yaml.MapSlice
	if err := decode(&items); err != nil {
		return err
	}
	for _, item := range items {
		o.names = append(o.names, fmt.Sprint(item.Key))
	}
	return decode(&o.values)
}

// all yields the names and values in their order.
func (o ordered[T]) all(yield func(string, T) bool) {
	for _, name := range o.names {
		if !yield(name, o.values[name]) {
			return
		}
	}
}

// parse decodes a file of OpenAPI. Objects in examples become yaml.MapSlice, which keeps the order of their fields.
func parse(text string) (*document, error) {
	var d document
	err := yaml.UnmarshalWithOptions([]byte(text), &d, yaml.UseOrderedMap())
	return &d, err
}

// component returns the component that a reference names, or own if there is no reference.
func component[T any](components ordered[T], ref string, own T) (T, error) {
	if ref == "" {
		return own, nil
	}
	found, ok := components.values[ref[strings.LastIndexByte(ref, '/')+1:]]
	if !ok {
		return own, fmt.Errorf("%s does not exist", ref)
	}
	return found, nil
}

// schema follows the references of a schema. A description beside a reference replaces that of the component.
func (d *document) schema(s schema) (schema, error) {
	found, err := component(d.Components.Schemas, s.Ref, s)
	if err != nil {
		return s, err
	}
	if s.Description != "" {
		found.Description = s.Description
	}
	if found.Ref != "" {
		return d.schema(found)
	}
	return found, nil
}

// encodeExample returns an example as indented JSON.
func encodeExample(example any) (string, error) {
	text, err := yaml.MarshalWithOptions(example, yaml.JSON())
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = json.Indent(&out, bytes.TrimSpace(text), "", "  ")
	return out.String(), err
}
