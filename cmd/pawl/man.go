package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// manCmd writes the help of every command as a manual page, in the language
// man(7).
type manCmd struct{}

func (*manCmd) Help() string { return "Example:\n  pawl man > /usr/local/share/man/man1/pawl.1" }

func (*manCmd) Run(parsed *kong.Context, std stdio) error {
	b := thisBuild()
	day, _, _ := strings.Cut(b.Date, "T")
	page := &manPage{}
	page.line(`.TH PAWL 1 "%s" %s`, day, quoted("pawl "+b.Version)) // its hyphens are read as a date's
	page.line(".SH NAME\npawl \\- keeps sessions for an HTTP API")
	page.line(".SH SYNOPSIS\n.B pawl\n.I command\n.RI [ options ]")
	page.line(".SH DESCRIPTION")
	page.text(parsed.Model.Help)
	page.line(".SH COMMANDS")
	for _, command := range parsed.Model.Leaves(true) {
		page.command(command)
	}
	page.line("%s", manEnd)
	_, err := io.WriteString(std.out, page.String())
	return err
}

// manEnd is what the help of no one command says.
const manEnd = `.SH ENVIRONMENT
Each option of
.B pawl serve
is also a variable: PAWL_ and its name, in capitals, with _ for \-.
.TP
.B PAWL_MASTER_KEY
The master key itself.
.TP
.BR PAWL_URL ", " PAWL_API_KEY
The server, and the key for it, of the commands that act on a running server.
.SH EXIT STATUS
.TP
.B 0
Done.
.TP
.B 1
The command was understood, and failed.
.TP
.B 2
The command line or a setting is wrong.`

// manPage is a page as it grows.
type manPage struct{ strings.Builder }

func (p *manPage) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *manPage) command(command *kong.Node) {
	p.line(".SS %s", quoted(command.FullPath()+arguments(command)))
	p.text(command.Help)
	for _, flag := range allFlags(command) {
		if flag.Name == "help" {
			continue // every command has it
		}
		p.line(".TP\n.B %s", escaped("--"+flag.Name+valueOf(flag)))
		p.text(flag.Help + defaultOf(flag))
	}
	if command.Detail != "" {
		p.line(".PP")
		p.text(command.Detail)
	}
}

// text writes paragraphs; a line that is indented is an example, as it stands.
func (p *manPage) text(text string) {
	example := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if indented := strings.HasPrefix(line, "  "); indented != example && line != "" {
			p.line(map[bool]string{true: ".PP\n.RS 4\n.EX", false: ".EE\n.RE"}[indented])
			example = indented
		}
		if line == "" {
			p.line(".PP")
		} else {
			p.line("%s", escaped(strings.TrimPrefix(line, "  ")))
		}
	}
	if example {
		p.line(".EE\n.RE")
	}
}

func arguments(command *kong.Node) (text string) {
	for _, argument := range command.Positional {
		text += " " + argument.Summary()
	}
	return text
}

func valueOf(flag *kong.Flag) string {
	if flag.IsBool() {
		return ""
	}
	return "=" + flag.FormatPlaceHolder()
}

func defaultOf(flag *kong.Flag) string {
	if !flag.HasDefault || flag.PlaceHolder == "" {
		return ""
	}
	return " Default: " + flag.Default + "."
}

// escaped is text as roff reads it: no line of it is a request.
func escaped(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		return `\&` + text
	}
	return text
}

// quoted is text as one argument of a request.
func quoted(text string) string { return `"` + strings.ReplaceAll(escaped(text), `"`, `\(dq`) + `"` }
