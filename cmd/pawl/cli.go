package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"
)

// stdio is the process's three streams.
type stdio struct {
	in       io.Reader
	out, err io.Writer
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the command was understood, and failed
	exitUsage  = 2 // the command line or a setting is wrong
)

// cli is the command line; each command is in a file of its own.
type cli struct {
	Dev        devCmd        `cmd:"" help:"Run a server to develop against, with no set-up: users, keys and a curl to paste."`
	Init       initCmd       `cmd:"" help:"Make the first administrator of a data folder, for real use."`
	Serve      serveCmd      `cmd:"" help:"Run the server."`
	Config     configCmd     `cmd:"" help:"Show the settings that hold, and where each comes from."`
	User       userCmd       `cmd:"" help:"Handle users on a running server; import users from a file."`
	Key        keyCmd        `cmd:"" help:"Handle API keys on a running server."`
	Session    sessionCmd    `cmd:"" help:"Handle sessions on a running server."`
	SigningKey signingKeyCmd `cmd:"" help:"Handle the keys that sign tokens, on a running server."`
	Audit      auditCmd      `cmd:"" help:"Show what happened on a running server: sign-ins, refusals, changes."`
	Store      storeCmd      `cmd:"" help:"Copy or back up the state itself."`
	Login      loginCmd      `cmd:"" help:"Sign in and print the token."`
	Refresh    refreshCmd    `cmd:"" help:"Read a token from standard input, exchange it, and print the new one."`
	Bench      benchCmd      `cmd:"" help:"Drive a running server with real chains, and print what it does a second."`
	Health     healthCmd     `cmd:"" help:"Ask the server on this machine whether it can serve; for health checks."`
	Completion completionCmd `cmd:"" help:"Print completions for a shell."`
	Complete   completeCmd   `cmd:"" hidden:"" help:"Complete a command line, for the scripts of completion."`
	Man        manCmd        `cmd:"" help:"Print the manual page, pawl(1)."`
	Version    versionCmd    `cmd:"" help:"Print the version, the commit and its date."`
}

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, std stdio) int {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	file := loadFile(args)
	exited := -1
	var c cli
	parser, err := kong.New(&c, kong.Name("pawl"),
		kong.Description("Pawl keeps sessions for an HTTP API.\n\nSettings come from flags, then PAWL_* variables, then the file of --config."),
		kong.Writers(std.out, std.err), kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.UsageOnError(),
		kong.Resolvers(file), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(std), kong.Bind(file))
	if err != nil {
		fmt.Fprintf(std.err, "pawl: %v\n", err)
		return exitFailed
	}
	command, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help
	}
	if err != nil {
		fmt.Fprintf(std.err, "pawl: %v\nRun \"pawl --help\" for the commands, and \"pawl COMMAND --help\" for one of them.\n", err)
		return exitUsage
	}
	if err := command.Run(&c); err != nil {
		fmt.Fprintf(std.err, "pawl: %v\n", err)
		if _, ok := errors.AsType[usageError](err); ok {
			return exitUsage
		}
		return exitFailed
	}
	return exitOK
}

// usageError is an error of the command line or of a setting.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// printJSON writes v for a machine to read.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
