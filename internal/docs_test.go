package internal_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	walkStep   = regexp.MustCompile("(?m)^\\d+\\. `(?:(\\w+)\\.)?(\\w+)` \\(`([\\w/]+\\.go)`\\)")
	testName   = regexp.MustCompile(`\b([tT]est|Fuzz|Benchmark)[A-Z]\w+\*?`)
	settingRow = regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (?:`([^`]*)`)? *\\|")
)

// TestDocumentsNameRealTests checks that each test that a document names exists, so that a claim keeps its evidence.
func TestDocumentsNameRealTests(t *testing.T) {
	var code strings.Builder
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(path, "_test.go") || filepath.Base(filepath.Dir(path)) == "storetest") {
			code.WriteString(text(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, path := range documents(t) {
		for _, name := range testName.FindAllString(text(t, path), -1) {
			count++
			function := "func " + name + "("
			if prefix, ok := strings.CutSuffix(name, "*"); ok {
				function = "func " + prefix
			}
			if !strings.Contains(code.String(), function) {
				t.Errorf("%s names %s, which does not exist", path, name)
			}
		}
	}
	if count < 50 {
		t.Errorf("found only %d names of tests in the documents", count)
	}
}

// TestWalkNamesRealFunctions checks that each function of the walk of a refresh in docs/architecture.md exists.
func TestWalkNamesRealFunctions(t *testing.T) {
	steps := walkStep.FindAllStringSubmatch(text(t, "../docs/architecture.md"), -1)
	if len(steps) < 15 {
		t.Errorf("found only %d steps of the walk", len(steps))
	}
	for _, step := range steps {
		receiver, name := step[1], step[2]
		file := step[3]
		function := "func " + name
		if receiver != "" {
			function = `func \(\w+ \*?` + receiver + `(\[\w+\])?\) ` + name
		}
		if !regexp.MustCompile(`(?m)^` + function + `[\[(]`).MatchString(text(t, filepath.Join("../internal", file))) {
			t.Errorf("docs/architecture.md: there is no function %s in internal/%s", name, file)
		}
	}
}

// TestSettingsDocumented compares the settings and defaults in docs/settings.md with those of pawl config.
func TestSettingsDocumented(t *testing.T) {
	documented := map[string]string{}
	for _, row := range settingRow.FindAllStringSubmatch(text(t, "../docs/settings.md"), -1) {
		documented[row[1]] = row[2]
	}
	config := exec.CommandContext(t.Context(), "go", "run", "./cmd/pawl", "config", "--json")
	config.Dir = ".."
	config.Env = withoutSettings(os.Environ())
	out, err := config.Output()
	if err != nil {
		t.Fatal(err)
	}
	var settings []struct{ Name, Value string }
	if err := json.Unmarshal(out, &settings); err != nil {
		t.Fatal(err)
	}
	for _, setting := range settings {
		value, found := documented[setting.Name]
		switch {
		case !found:
			t.Errorf("docs/settings.md lacks %s", setting.Name)
		case shortDuration(setting.Value) != value:
			t.Errorf("docs/settings.md has the default %q for %s, want %q", value, setting.Name, setting.Value)
		}
		delete(documented, setting.Name)
	}
	for name := range documented {
		t.Errorf("docs/settings.md has %s, which is no setting", name)
	}
}

// withoutSettings returns the variables that do not configure Pawl.
func withoutSettings(environment []string) []string {
	var kept []string
	for _, variable := range environment {
		if !strings.HasPrefix(variable, "PAWL_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// shortDuration writes a value of pawl config as the documents do: 1h for 1h0m0s, and nothing for an empty list.
func shortDuration(value string) string {
	if value == "[]" {
		return ""
	}
	if strings.HasSuffix(value, "m0s") {
		value = strings.TrimSuffix(value, "0s")
	}
	if strings.HasSuffix(value, "h0m") {
		value = strings.TrimSuffix(value, "0m")
	}
	return value
}
