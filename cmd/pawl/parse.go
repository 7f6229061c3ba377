package main

import (
	"errors"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

var (
	missingFlags    = regexp.MustCompile(`^missing flags: (.*)$`)
	flagPlaceholder = regexp.MustCompile(`=[^,]*`)
	missingArgument = regexp.MustCompile(`^expected "(<[^"]+>).*"$`)
)

// explainParse returns the error of a command line in plain words, with what to do.
func explainParse(failed *kong.ParseError) error {
	message := failed.Error()
	if found := missingFlags.FindStringSubmatch(message); found != nil {
		flags := flagPlaceholder.ReplaceAllString(found[1], "")
		if strings.Contains(flags, ",") {
			return errors.New(flags + " are missing")
		}
		return errors.New(flags + " is missing")
	}
	if found := missingArgument.FindStringSubmatch(message); found != nil {
		return errors.New(found[1] + " is missing")
	}
	return failed
}

// commandPath returns "pawl" and the command as far as it was recognized.
func commandPath(parsed *kong.Context) string {
	if node := parsed.Selected(); node != nil {
		return node.FullPath()
	}
	return "pawl"
}
