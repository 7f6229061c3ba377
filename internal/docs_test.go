package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentsNameRealTests holds that each test that a document calls on is
// there: a rule whose test was renamed is not shown any more.
func TestDocumentsNameRealTests(t *testing.T) {
	var code strings.Builder
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		code.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	documents, err := filepath.Glob("../docs/*.md")
	if err != nil || len(documents) == 0 {
		t.Fatalf("%d documents, %v", len(documents), err)
	}
	named := regexp.MustCompile(`\b(Test|Fuzz|Benchmark)[A-Z]\w+\*?`)
	for _, path := range documents {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range named.FindAllString(string(text), -1) {
			function := "func " + name + "("
			if prefix, ok := strings.CutSuffix(name, "*"); ok {
				function = "func " + prefix
			}
			if !strings.Contains(code.String(), function) {
				t.Errorf("%s names %s, which is not there", path, name)
			}
		}
	}
}
