package internal_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// goChecks has the checks of one Go file by the name of their subtest.
var goChecks = map[string]func(*goFile) []finding{
	"sentences":    func(f *goFile) []finding { return eachPassage(f.prose(), checkSentences) },
	"phrases":      func(f *goFile) []finding { return eachPassage(f.prose(), checkPhrases) },
	"doc comments": checkDocComments,
	"names":        checkNames,
	"columns":      checkGoWidth,
	"functions":    checkFuncLines,
	"assignments":  checkAssignments,
	"literals":     checkLiterals,
	"conditions":   checkConditions,
}

// documentChecks has the checks of one document by the name of their subtest.
var documentChecks = map[string]func(markdown) []finding{
	"sentences": func(m markdown) []finding { return eachPassage(m.prose(), checkSentences) },
	"phrases":   func(m markdown) []finding { return eachPassage(m.prose(), checkPhrases) },
	"columns":   markdown.checkWidth,
}

func eachPassage(passages []passage, check func(passage) []finding) []finding {
	var found []finding
	for _, p := range passages {
		found = append(found, check(p)...)
	}
	return found
}

// TestStyle checks the Go code and the documents of the module against the rules of CONTRIBUTING.md. The environment
// variable PAWL_STYLE_ONLY limits the findings to some path prefixes, separated by commas.
func TestStyle(t *testing.T) {
	files := moduleFiles(t)
	for _, name := range slices.Sorted(maps.Keys(goChecks)) {
		t.Run("go/"+name, func(t *testing.T) {
			for _, f := range files {
				if !selected(f.path) || name == "phrases" && strings.HasPrefix(f.path, "internal/style_") {
					continue
				}
				report(t, f.path, goChecks[name](f))
			}
		})
	}
	t.Run("go/package comments", func(t *testing.T) {
		for dir, problem := range checkPackageComments(files) {
			if selected(dir + "/") {
				t.Errorf("%s: %s", dir, problem)
			}
		}
	})
	t.Run("other/phrases", func(t *testing.T) {
		for _, file := range otherFiles(t) {
			if name := modulePathOf(file); selected(name) {
				report(t, name, eachPassage(lines(text(t, file)), checkPhrases))
			}
		}
	})
	for _, name := range slices.Sorted(maps.Keys(documentChecks)) {
		t.Run("documents/"+name, func(t *testing.T) {
			for _, file := range documents(t) {
				if path := modulePathOf(file); selected(path) {
					report(t, path, documentChecks[name](parseMarkdown(text(t, file))))
				}
			}
		})
	}
}

// otherTexts matches the names of other files with words to check. It leaves out the programs in examples, because they
// print "old token".
var otherTexts = regexp.MustCompile(`(^Makefile|^Dockerfile|^install-test-deps|^check-model|Caddyfile|` +
	`\.(ya?ml|sql|js|conf|cfg|lua|pml|css|html|ts))$`)

// otherFiles returns the paths of the files that otherTexts matches.
func otherFiles(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err == nil && skipDir(file, d) {
			return filepath.SkipDir
		}
		if err == nil && !d.IsDir() && otherTexts.MatchString(d.Name()) {
			all = append(all, file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// lines returns each line of a text as a passage.
func lines(text string) []passage {
	var all []passage
	for line := range strings.Lines(text) {
		all = append(all, passage{line: len(all) + 1, text: line, fragment: true})
	}
	return all
}

// selected reports whether PAWL_STYLE_ONLY is empty or selects a path.
func selected(path string) bool {
	only := os.Getenv("PAWL_STYLE_ONLY")
	return only == "" || slices.ContainsFunc(strings.Split(only, ","), func(prefix string) bool {
		return strings.HasPrefix(path, strings.TrimPrefix(prefix, "./"))
	})
}

func report(t *testing.T, path string, found []finding) {
	t.Helper()
	for _, f := range found {
		t.Errorf("%s:%d: %s", path, f.line, f.problem)
	}
}

// moduleFiles parses every Go file of the module.
func moduleFiles(t *testing.T) []*goFile {
	t.Helper()
	structs := structNames{}
	var files []*goFile
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case skipDir(file, d):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(file) != ".go":
			return nil
		}
		f, err := parseGo(modulePathOf(file), text(t, file))
		if err != nil {
			return err
		}
		structs.add(f)
		f.structs = structs
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 100 {
		t.Fatalf("found only %d Go files", len(files))
	}
	return files
}

// modulePathOf makes a path relative to the root of the module.
func modulePathOf(file string) string {
	return strings.TrimPrefix(filepath.ToSlash(file), "../")
}
