package sdk_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// snippet matches code in a document whose first line names its file.
var snippet = regexp.MustCompile("(?s)```tsx?\n(// (\\S+\\.tsx?)\n.*?)```")

// TestSnippets compiles the code in docs/browsers.md with strict settings, against the package and the types of React
// and Vue.
func TestSnippets(t *testing.T) {
	text, err := os.ReadFile("../../docs/browsers.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := linkedFolder(t, "snippets")
	found := map[string]bool{}
	for _, match := range snippet.FindAllStringSubmatch(string(text), -1) {
		code, name := match[1], match[2]
		if err := os.WriteFile(filepath.Join(dir, name), []byte(code), 0o600); err != nil {
			t.Fatal(err)
		}
		found[name] = true
	}
	for _, name := range []string{"session.ts", "main.ts", "App.tsx", "useSession.ts"} {
		if !found[name] {
			t.Errorf("the document lacks %s", name)
		}
	}
	run(t, dir, nil, "node_modules/.bin/tsc", "-p", ".")
}
