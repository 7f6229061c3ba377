package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/authority/keyring"
)

// stdio has the three standard streams of a process.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the command line is valid, but the command failed
	exitUsage  = 2 // the command line or a setting is invalid
)

// cli is the command line.
type cli struct {
	Dev        devCmd        `cmd:"" help:"Run a server for development, with users, API keys and curl commands."`
	Init       initCmd       `cmd:"" help:"Create the first administrator of a store, for production."`
	Serve      serveCmd      `cmd:"" help:"Run the server."`
	Config     configCmd     `cmd:"" help:"Show the effective settings and their sources."`
	User       userCmd       `cmd:"" help:"Manage users on a running server; import users from a file."`
	Key        keyCmd        `cmd:"" help:"Manage API keys on a running server."`
	Session    sessionCmd    `cmd:"" help:"Manage sessions on a running server."`
	SigningKey signingKeyCmd `cmd:"" help:"Manage signing keys on a running server."`
	Receiver   receiverCmd   `cmd:"" help:"Manage the receivers of pushed events on a running server."`
	Audit      auditCmd      `cmd:"" help:"Show audit events of a running server: sign-ins, rejections, changes."`
	Store      storeCmd      `cmd:"" help:"Copy or back up a store, or end all its sessions."`
	Login      loginCmd      `cmd:"" help:"Sign in and print the token."`
	Refresh    refreshCmd    `cmd:"" help:"Refresh the token on standard input and print the new one."`
	Bench      benchCmd      `cmd:"" help:"Put load on a running server and print its throughput and latency."`
	Sidecar    sidecarCmd    `cmd:"" help:"Answer /forward-auth beside a gateway, and verify tokens in memory."`
	Health     healthCmd     `cmd:"" help:"Check that the server on this machine can serve."`
	Completion completionCmd `cmd:"" help:"Print a completion script for a shell."`
	Complete   completeCmd   `cmd:"" hidden:"" help:"Complete a command line, for the completion scripts."`
	Man        manCmd        `cmd:"" help:"Print the manual page, pawl(1)."`
	Version    versionCmd    `cmd:"" help:"Print the version, the commit and its date."`
}

const description = `Pawl keeps sessions for an HTTP API.

Settings come from flags, then PAWL_* variables, then the file of --config. Commands for a running server find it by
PAWL_URL, and need an API key in PAWL_API_KEY. "pawl help COMMAND" explains a command, "pawl --version" prints the
version.`

// newParser returns a parser that fills c.
func newParser(c *cli, sources *sources, options ...kong.Option) (*kong.Kong, error) {
	parser, err := kong.New(c, append(options, kong.Name("pawl"), kong.Description(description), defaults(), durations,
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Resolvers(sources), kong.Bind(sources))...)
	if err == nil {
		sources.addSettings(parser.Model)
	}
	return parser, err
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, std stdio) int {
	args = withoutSynonyms(args)
	sources := loadSources(args)
	exited := -1
	var c cli
	parser, err := newParser(&c, sources, kong.Writers(std.out, std.err), kong.Exit(func(code int) { exited = code }),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(std))
	if err != nil {
		fmt.Fprintf(std.err, "pawl: %v\n", err)
		return exitFailed
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited // after --help
	}
	if err != nil {
		failed, _ := errors.AsType[*kong.ParseError](err)
		// A misspelt variable may be the reason for a missing flag.
		err = errors.Join(explainParse(failed), sources.problems())
		printErrors(std.err, sources.explain(failed.Context, err))
		fmt.Fprintf(std.err, "Run \"%s --help\" for help.\n", commandPath(failed.Context))
		return exitUsage
	}
	selected := command.Selected().Target.Addr().Interface()
	if _, ok := selected.(showsProblems); !ok {
		err = sources.problems()
	}
	if checker, ok := selected.(settingsChecker); ok && err != nil {
		_, more := checker.check()
		err = errors.Join(err, more)
	}
	if err == nil {
		err = command.Run(&c)
	}
	if err == nil {
		return exitOK
	}
	err = missingKey(command, err)
	printErrors(std.err, sources.explain(command, err))
	if isUsage(err) {
		return exitUsage
	}
	return exitFailed
}

// withoutSynonyms replaces what other programs understand, too: help COMMAND, --version and -v.
func withoutSynonyms(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case args[0] == "help":
		return append(slices.Clone(args[1:]), "--help")
	case args[0] == "--version" || args[0] == "-v":
		return append([]string{"version"}, args[1:]...)
	}
	return args
}

// settingsChecker is a command with settings. check returns all problems of their values.
type settingsChecker interface{ check() (app.Config, error) }

// showsProblems is a command that handles the problems of its sources itself.
type showsProblems interface{ showsProblems() }

// printErrors prints each message on a line of its own. It gives up after logFlushTimeout, so that a stopped reader of
// standard error cannot keep the process from its end.
func printErrors(w io.Writer, messages []string) {
	var text strings.Builder
	for _, message := range messages {
		fmt.Fprintf(&text, "pawl: %s\n", message)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.WriteString(w, text.String()) // there is no other place for an error
	}()
	select {
	case <-done:
	case <-time.After(logFlushTimeout):
	}
}

// isUsage reports whether an error is about the command line or a setting.
func isUsage(err error) bool {
	_, usage := errors.AsType[usageError](err)
	_, setting := errors.AsType[settingError](err)
	return usage || setting || errors.Is(err, keyring.ErrMasterKeyMissing) || errors.Is(err, keyring.ErrMasterKeyWrong)
}

// usageError is an error in the command line or in a setting.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// printJSON writes v as indented JSON.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
