package console

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pawlauth/pawl/internal/authority"
	"github.com/pawlauth/pawl/internal/authority/audit"
)

// TestErrorsAreInEnglishFile parses the package. The message of an error must be a text of english.go, so that a
// translation of that file translates it.
func TestErrorsAreInEnglishFile(t *testing.T) {
	calls := 0
	for name, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !slices.Contains([]string{"fault.New", "fault.Invalid"}, called(call)) {
				return true
			}
			calls++
			message, ok := call.Args[len(call.Args)-1].(*ast.CallExpr)
			if !ok || called(message) != "t" {
				t.Errorf("%s: %s has a message that is not in english.go", name, called(call))
			}
			return true
		})
	}
	if calls < 15 {
		t.Errorf("%d errors are found, want 15 or more", calls)
	}
}

// TestTexts checks that english.go has each text that the package and the pages name, and the names of all levels,
// statuses, scopes and events.
func TestTexts(t *testing.T) {
	wants := func(where, key string) {
		t.Helper()
		if english[key] == "" {
			t.Errorf("%s: english.go has no text %q", where, key)
		}
	}
	for name, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || called(call) != "t" {
				return true
			}
			if key, ok := call.Args[0].(*ast.BasicLit); ok {
				text, _ := strconv.Unquote(key.Value)
				wants(name, text)
			}
			return true
		})
	}
	inPage := regexp.MustCompile(`\bt "([^"]+)"`)
	files, _ := pageFiles.ReadDir("pages")
	for _, file := range files {
		page, _ := pageFiles.ReadFile("pages/" + file.Name())
		for _, match := range inPage.FindAllStringSubmatch(string(page), -1) {
			wants(file.Name(), match[1])
		}
		if visible := regexp.MustCompile(`>[^<{]*[A-Za-z]{2}[^<{]*<`).FindString(string(page)); visible != "" {
			t.Errorf("%s has the text %q", file.Name(), visible)
		}
	}
	for level := authority.Root; level <= authority.General; level++ {
		wants("levels", fmt.Sprint("level.", level))
	}
	for status := authority.Development; status <= authority.Terminated; status++ {
		wants("statuses", fmt.Sprint("status.", status))
	}
	for scope := authority.FullScope; scope <= authority.OpenSessionsScope; scope++ {
		wants("scopes", fmt.Sprint("scope.", scope))
	}
	for _, kind := range audit.Kinds {
		wants("events", "kind."+string(kind))
	}
}

// sources returns the parsed files of the package, without its tests.
func sources(t *testing.T) map[string]*ast.File {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	parsed := map[string]*ast.File{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if parsed[name], err = parser.ParseFile(token.NewFileSet(), name, nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	return parsed
}

// called returns the name of a called function, with its package.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		if of, ok := f.X.(*ast.Ident); ok {
			return of.Name + "." + f.Sel.Name
		}
	}
	return ""
}
