package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var (
	// exampleLine matches a call of pawl in an example. It stands alone on its line, with optional variables before it.
	exampleLine  = regexp.MustCompile(`(?m)^ +(?:[A-Z_]+=\S+ )*(?:go run \./cmd/)?pawl (.*)$`)
	substitution = regexp.MustCompile(`\$\([^)]*\)`)
)

// TestExamplesParse parses the commands of all examples in --help, README.md and docs. It also checks that the help of
// each command has an example.
func TestExamplesParse(t *testing.T) {
	for name, value := range map[string]string{
		"PAWL_LOGIN": "a@example.com", "PAWL_TO": "postgres://", "PAWL_STORE": "postgres://",
	} {
		t.Setenv(name, value) // the examples expect these variables
	}
	parser, _ := testParser(t)
	for _, leaf := range parser.Model.Leaves(true) {
		// The example of health is a line of a Dockerfile.
		if len(exampleLine.FindAllString(leaf.Detail, -1)) == 0 && leaf.Name != "health" {
			t.Errorf("the help of %s has no example", leaf.Path())
		}
		parseExamples(t, leaf.Path()+" --help", leaf.Detail)
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		examples += parseExamples(t, page, strings.ReplaceAll(string(text), "\\\n", ""))
	}
	if examples < 20 {
		t.Errorf("found only %d commands in the documents", examples)
	}
}

// parseExamples parses the commands of a text, and returns how many there are.
func parseExamples(t *testing.T, source, text string) (count int) {
	t.Helper()
	for _, found := range exampleLine.FindAllStringSubmatch(text, -1) {
		count++
		if strings.Contains(found[1], "...") || strings.Contains(found[1], "--help") {
			continue // an abridged command
		}
		var args []string
		for _, word := range strings.Fields(substitution.ReplaceAllString(found[1], "x")) {
			if strings.ContainsAny(word, "<>|#&;") {
				break // the rest is for the shell
			}
			args = append(args, strings.Trim(word, `'"`))
		}
		parser, sources := testParser(t)
		if _, err := parser.Parse(args); err != nil || sources.problems() != nil {
			t.Errorf("%s: pawl %s: %v", source, strings.Join(args, " "), errors.Join(err, sources.problems()))
		}
	}
	return count
}

func testParser(t *testing.T) (*kong.Kong, *sources) {
	t.Helper()
	sources := loadSources(nil)
	parser, err := newParser(new(cli), sources, kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	return parser, sources
}
