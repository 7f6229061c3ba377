package internal_test

import (
	"path"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestStyleChecks runs each check on the snippets of testdata/style.txtar, to see it reject and accept.
func TestStyleChecks(t *testing.T) {
	snippets, err := txtar.ParseFile("testdata/style.txtar")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, snippet := range snippets.Files {
		seen[snippet.Name] = true
		name, want := path.Split(snippet.Name)
		rejected := len(checkSnippet(t, path.Clean(name), string(snippet.Data))) > 0
		if rejected != (want == "bad") {
			t.Errorf("%s: rejected is %v for:\n%s", snippet.Name, rejected, snippet.Data)
		}
	}
	for name := range goChecks {
		if name != "functions" && !(seen["go/"+name+"/bad"] && seen["go/"+name+"/good"]) {
			t.Errorf("the check go/%s needs snippets", name)
		}
	}
	for name := range documentChecks {
		if !seen["documents/"+name+"/bad"] || !seen["documents/"+name+"/good"] {
			t.Errorf("the check documents/%s needs snippets", name)
		}
	}
}

// checkSnippet returns the findings of one check in a snippet.
func checkSnippet(t *testing.T, check, snippet string) []finding {
	t.Helper()
	if name, ok := strings.CutPrefix(check, "documents/"); ok && documentChecks[name] != nil {
		return documentChecks[name](parseMarkdown(snippet))
	}
	if name, ok := strings.CutPrefix(check, "go/"); ok && goChecks[name] != nil {
		return goChecks[name](parseSnippet(t, "p/p.go", "package p\n\n"+snippet))
	}
	t.Fatalf("there is no check %s", check)
	return nil
}

func parseSnippet(t *testing.T, path, source string) *goFile {
	t.Helper()
	f, err := parseGo(path, source)
	if err != nil {
		t.Fatalf("%v in:\n%s", err, source)
	}
	return f
}

// TestFunctionLines checks the limit of a function's lines on both sides.
func TestFunctionLines(t *testing.T) {
	for lines, want := range map[int]int{maxFuncLines: 0, maxFuncLines + 1: 1} {
		source := "package p\n\nfunc f() {" + strings.Repeat("\n", lines-1) + "}\n"
		if found := checkFuncLines(parseSnippet(t, "p/p.go", source)); len(found) != want {
			t.Errorf("%d lines: %v", lines, found)
		}
	}
}

// TestPackageComments checks that a package needs its comment in exactly one file.
func TestPackageComments(t *testing.T) {
	tests := map[string]struct {
		files    map[string]string
		problems int
	}{
		"one": {files: map[string]string{
			"p/a.go": "// Package p counts.\npackage p",
			"p/b.go": "package p",
		}},
		"none": {problems: 1, files: map[string]string{
			"p/a.go": "package p",
			"p/b.go": "package p",
		}},
		"two": {problems: 1, files: map[string]string{
			"p/a.go": "// Package p counts.\npackage p",
			"p/b.go": "// Package p counts.\npackage p",
		}},
		"another beginning":   {problems: 1, files: map[string]string{"p/a.go": "// Counts.\npackage p"}},
		"a command":           {files: map[string]string{"p/a.go": "// Command p counts.\npackage main"}},
		"a command without":   {problems: 1, files: map[string]string{"p/a.go": "package main"}},
		"a program of a test": {files: map[string]string{"test/p/a.go": "package main"}},
		"only tests":          {files: map[string]string{"p/a_test.go": "package p"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var files []*goFile
			for path, source := range test.files {
				files = append(files, parseSnippet(t, path, source))
			}
			if found := checkPackageComments(files); len(found) != test.problems {
				t.Errorf("found %v, want %d problems", found, test.problems)
			}
		})
	}
}

// TestImportedStructs checks that checkLiterals finds a struct type of another package, under each name of its import.
func TestImportedStructs(t *testing.T) {
	for name, spec := range map[string]string{"q": "", "other": "other "} {
		source := "package p\n\nimport " + spec + `"` + modulePath + `/a/q"` + "\n\nvar x = " + name + ".T{1, 2, 3}\n"
		f := parseSnippet(t, "p/p.go", source)
		f.structs["a/q.T"] = true
		if len(checkLiterals(f)) == 0 {
			t.Errorf("accepted:\n%s", source)
		}
	}
}
