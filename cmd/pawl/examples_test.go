package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// command finds a call of pawl in an example: alone on its line, but for
// variables before it and what a shell reads after it.
var command = regexp.MustCompile(`(?m)^ +(?:[A-Z_]+=\S+ )*(?:go run \./cmd/)?pawl (.*)$`)

var substituted = regexp.MustCompile(`\$\([^)]*\)`)

// TestExamplesParse: each command of an example, in --help, the README or the
// operator's page, is one that the command line takes; and each command has one.
func TestExamplesParse(t *testing.T) {
	for name, value := range map[string]string{"PAWL_LOGIN": "a@example.com", "PAWL_TO": "postgres://"} {
		t.Setenv(name, value) // that the examples say, or dev.env
	}
	parser := parserOf(t)
	for _, leaf := range parser.Model.Leaves(true) {
		if calls := command.FindAllString(leaf.Detail, -1); len(calls) == 0 && leaf.Name != "health" { // its own is a line of a Dockerfile
			t.Errorf("the help of %s has no example", leaf.Path())
		}
		parses(t, leaf.Path()+" --help", leaf.Detail)
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		seen += parses(t, page, strings.ReplaceAll(string(text), "\\\n", ""))
	}
	if seen < 20 {
		t.Errorf("%d commands in the documents: does the test still find them?", seen)
	}
}

// parses returns how many commands there were.
func parses(t *testing.T, where, text string) (seen int) {
	t.Helper()
	for _, found := range command.FindAllStringSubmatch(text, -1) {
		seen++
		if strings.Contains(found[1], "...") || strings.Contains(found[1], "--help") {
			continue // what is left out is the reader's
		}
		var args []string
		for _, word := range strings.Fields(substituted.ReplaceAllString(found[1], "x")) {
			if strings.ContainsAny(word, "<>|#&;") {
				break // the shell's
			}
			args = append(args, strings.Trim(word, `'"`))
		}
		if _, err := parserOf(t).Parse(args); err != nil {
			t.Errorf("%s: pawl %s: %v", where, strings.Join(args, " "), err)
		}
	}
	return seen
}

func parserOf(t *testing.T) *kong.Kong {
	t.Helper()
	parser, err := kong.New(new(cli), kong.Name("pawl"), kong.Resolvers(loadFile(nil)), kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	return parser
}
