package internal_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	fenced  = regexp.MustCompile("(?ms)^```.*?^```|`[^`\n]*`")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#{1,6} +(.*?) *$`)
	noise   = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// TestLinks checks that each relative link of each document leads to a file of the repository, and its fragment to a
// heading of that file.
func TestLinks(t *testing.T) {
	count := 0
	for _, path := range documents(t) {
		for _, found := range link.FindAllStringSubmatch(fenced.ReplaceAllString(text(t, path), ""), -1) {
			if strings.Contains(found[1], "://") || strings.HasPrefix(found[1], "mailto:") {
				continue
			}
			count++
			file, fragment, _ := strings.Cut(found[1], "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s, which does not exist", path, found[1])
			} else if fragment != "" && !anchors(text(t, target))[fragment] {
				t.Errorf("%s links to %s, which has no such heading", path, found[1])
			}
		}
	}
	if count < 30 {
		t.Errorf("found only %d links", count)
	}
}

// skipDir reports whether a directory has no sources of the module.
func skipDir(path string, d fs.DirEntry) bool {
	generated := d.Name() == "node_modules" || d.Name() == "dist"
	return d.IsDir() && path != ".." && (strings.HasPrefix(d.Name(), ".") || generated)
}

// documents returns the paths of the Markdown files of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && skipDir(path, d) {
			return filepath.SkipDir
		}
		if err == nil && filepath.Ext(path) == ".md" {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// anchors returns the fragments of a document's headings, as GitHub derives them.
func anchors(document string) map[string]bool {
	all := map[string]bool{}
	for _, found := range heading.FindAllStringSubmatch(document, -1) {
		all[strings.ReplaceAll(noise.ReplaceAllString(strings.ToLower(found[1]), ""), " ", "-")] = true
	}
	return all
}

func text(t *testing.T, path string) string {
	t.Helper()
	read, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(read)
}
