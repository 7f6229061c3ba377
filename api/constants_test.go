package api_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"github.com/pb33f/libopenapi/datamodel/high/base"

	"github.com/pawlauth/pawl/api"
	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
	"github.com/pawlauth/pawl/internal/authority/keyring"
	"github.com/pawlauth/pawl/internal/test/apicheck"
)

// TestConstantsMatchOpenAPI compares the constants of each string type with the enum of its schema.
func TestConstantsMatchOpenAPI(t *testing.T) {
	schemas := apicheck.Model(t).Components.Schemas
	schema := func(name string) *base.Schema { return schemas.GetOrZero(name).Schema() }
	property := func(name, property string) *base.Schema {
		return schema(name).Properties.GetOrZero(property).Schema()
	}
	want := map[string]*base.Schema{
		"ErrorCode": schema("ErrorCode"), "EventKind": schema("EventKind"), "Level": schema("AuthLevel"),
		"SigningKeyState": property("SigningKey", "state"), "Status": schema("Status"),
		"Visibility": schema("Visibility"), "Scope": schema("Scope"),
	}
	constants := constantsByType(t)
	constants["Level"] = slices.DeleteFunc(constants["Level"], func(level string) bool {
		return level == string(api.LevelNoChange) // only in a RoleRequest
	})
	for name, schema := range want {
		var values []string
		for _, node := range schema.Enum {
			values = append(values, node.Value)
		}
		if !slices.Equal(constants[name], values) {
			t.Errorf("%s: constants %q, OpenAPI has %q", name, constants[name], values)
		}
	}
	if len(constants) != len(want) {
		t.Errorf("%d string types have constants, want %d", len(constants), len(want))
	}
}

// TestConstantsMatchTheServer compares the constants with the names in the server's requests and responses.
func TestConstantsMatchTheServer(t *testing.T) {
	want := map[string][]string{}
	for level := authority.Root; level <= authority.General; level++ {
		want["Level"] = append(want["Level"], level.String())
	}
	want["Level"] = append(want["Level"], string(api.LevelNoChange))
	for status := authority.Development; status <= authority.Terminated; status++ {
		want["Status"] = append(want["Status"], status.String())
	}
	for visibility := authority.Private; visibility <= authority.SessionOnly; visibility++ {
		want["Visibility"] = append(want["Visibility"], visibility.String())
	}
	for scope := authority.FullScope; scope <= authority.OpenSessionsScope; scope++ {
		want["Scope"] = append(want["Scope"], scope.String())
	}
	for _, kind := range audit.Kinds {
		want["EventKind"] = append(want["EventKind"], string(kind))
	}
	for _, state := range []keyring.State{keyring.Published, keyring.Signing, keyring.Verifying, keyring.Retired} {
		want["SigningKeyState"] = append(want["SigningKeyState"], string(state))
	}
	constants := constantsByType(t)
	for name, values := range want {
		if !slices.Equal(constants[name], values) {
			t.Errorf("%s: constants %q, the server has %q", name, constants[name], values)
		}
	}
}

// constantsByType returns the values of the package's constants with a type, in their order, by the type's name.
func constantsByType(t *testing.T) map[string][]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	constants := map[string][]string{}
	for _, file := range files {
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || spec.Type == nil {
				return true
			}
			for _, value := range spec.Values {
				literal, ok := value.(*ast.BasicLit)
				if !ok {
					continue
				}
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				name := spec.Type.(*ast.Ident).Name
				constants[name] = append(constants[name], text)
			}
			return true
		})
	}
	return constants
}
