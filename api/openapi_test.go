package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/go-yaml"

	"github.com/pawlauth/pawl/api"
)

// TestOpenAPISuitsGenerators holds the rules that let common generators of clients read openapi.yaml. Each generator of
// test/generators fails, or loses a type, on at least one file that breaks them.
func TestOpenAPISuitsGenerators(t *testing.T) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(api.OpenAPI()), &document); err != nil {
		t.Fatal(err)
	}
	faults, objects := shapeFaults(&document)
	for _, fault := range faults {
		t.Error(fault)
	}
	if objects < 1000 {
		t.Errorf("found only %d objects", objects)
	}
}

// TestShapeFaults checks that each rule finds a document that breaks it.
func TestShapeFaults(t *testing.T) {
	for text, want := range map[string]string{
		`{a: {enum: [x]}}`:                                            "a: an enum needs a type",
		`{a: {type: [string, "null"], enum: [x]}}`:                    "a: an enum needs a type",
		`{a: {type: string, const: x}}`:                               "a: use an enum of one value instead of const",
		`{a: {anyOf: [{type: string}]}}`:                              "a: anyOf",
		`{a: {oneOf: [{type: string}]}}`:                              "a: oneOf",
		`{a: [{allOf: [{type: string}]}]}`:                            "a[0]: allOf",
		`{a: {type: [integer, string]}}`:                              `a: a list of types must be a type and "null"`,
		`{a: {type: ["null", string]}}`:                               `a: a list of types must be a type and "null"`,
		`{components: {schemas: {A: {default: 1}}}}`:                  "components.schemas.A: a default",
		`{requestBody: {schema: {x: {default: true}}}}`:               "requestBody.schema.x: a default",
		`{components: {headers: {A: {}}, responses: {A: {}}}}`:        "components: A is the name of two components",
		`{a: {description: One, and two.}}`:                           "a: and two. is null",
		`{parameters: [{schema: {default: 1}}], example: {const: 1}}`: "",
	} {
		var document yaml.Node
		if err := yaml.Unmarshal([]byte(text), &document); err != nil {
			t.Fatal(err)
		}
		faults, _ := shapeFaults(&document)
		if len(faults) != min(len(want), 1) || want != "" && !strings.HasPrefix(faults[0], want) {
			t.Errorf("%s has the faults %q, want %q", text, faults, want)
		}
	}
}

// shapeFaults returns the objects of a document that some generator cannot read, and the number of all objects.
func shapeFaults(document *yaml.Node) (faults []string, objects int) {
	var visit func(path string, node *yaml.Node)
	visit = func(path string, node *yaml.Node) {
		for i, item := range node.Content {
			if node.Kind == yaml.SequenceNode {
				visit(fmt.Sprintf("%s[%d]", path, i), item)
			}
		}
		if node.Kind != yaml.MappingNode {
			return
		}
		objects++
		fields := map[string]*yaml.Node{}
		for i := 0; i < len(node.Content); i += 2 {
			fields[node.Content[i].Value] = node.Content[i+1]
		}
		for _, fault := range objectFaults(path, fields) {
			faults = append(faults, strings.TrimPrefix(path, ".")+": "+fault)
		}
		for name, value := range fields {
			if value.Tag == "!!null" {
				faults = append(faults, strings.TrimPrefix(path, ".")+": "+name+" is null; quote a text with a comma")
			}
			if name != "example" && name != "examples" {
				visit(path+"."+name, value)
			}
		}
	}
	visit("", document.Content[0])
	return faults, objects
}

// objectFaults returns the rules that one object breaks.
func objectFaults(path string, fields map[string]*yaml.Node) (faults []string) {
	kind := fields["type"]
	scalar := kind != nil && kind.Kind == yaml.ScalarNode
	if list := fields["enum"]; list != nil && list.Kind == yaml.SequenceNode && !scalar {
		faults = append(faults, "an enum needs a type, or Go and Java generators make it an object")
	}
	if fields["const"] != nil {
		faults = append(faults, "use an enum of one value instead of const, which some generators ignore")
	}
	for _, word := range []string{"anyOf", "oneOf", "allOf"} {
		if fields[word] != nil {
			faults = append(faults, word+" becomes a union with hand-written conversions; use one object")
		}
	}
	if kind != nil && kind.Kind == yaml.SequenceNode &&
		(len(kind.Content) != 2 || kind.Content[0].Value == "null" || kind.Content[1].Value != "null") {
		faults = append(faults, `a list of types must be a type and "null"`)
	}
	body := strings.HasPrefix(path, ".components.schemas.") || strings.Contains(path, ".requestBody.")
	if fields["default"] != nil && body {
		faults = append(faults, "a default makes generated clients send the field; describe the default instead")
	}
	if path == ".components" {
		faults = append(faults, sharedNames(fields)...)
	}
	return faults
}

// sharedNames returns the names that two kinds of components share. Go generators put all of them in one package, with
// the names of security schemes capitalized.
func sharedNames(components map[string]*yaml.Node) (faults []string) {
	var names []string
	for kindName, kind := range components {
		for i := 0; i < len(kind.Content); i += 2 {
			name := kind.Content[i].Value
			if kindName == "securitySchemes" {
				name = strings.ToUpper(name[:1]) + name[1:]
			}
			if slices.Contains(names, name) {
				faults = append(faults, name+" is the name of two components")
			}
			names = append(names, name)
		}
	}
	return faults
}
