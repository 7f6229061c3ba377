package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// manCmd writes the help of all commands as a manual page, in the language of man(7).
type manCmd struct{}

func (*manCmd) Help() string { return "Example:\n  pawl man > /usr/local/share/man/man1/pawl.1" }

func (*manCmd) Run(parsed *kong.Context, std stdio) error {
	b := thisBuild()
	day, _, _ := strings.Cut(b.Date, "T")
	page := &manPage{}
	page.line(`.TH PAWL 1 "%s" %s`, day, quoted("pawl "+b.Version)) // the date has no escaped hyphens
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

// manEnd has the sections common to all commands.
const manEnd = `.SH ENVIRONMENT
Each option of
.B pawl serve
is also a variable: PAWL_ and the name of the option in capitals, with _ instead of \-.
.TP
.B PAWL_MASTER_KEY
The master key itself.
.TP
.BR PAWL_URL ", " PAWL_API_KEY
The server, and the API key, of commands that act on a running server.
.SH EXIT STATUS
.TP
.B 0
The command succeeded.
.TP
.B 1
The command line is valid, but the command failed.
.TP
.B 2
The command line or a setting is invalid.`

// manPage is the text of a manual page.
type manPage struct{ strings.Builder }

func (p *manPage) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *manPage) command(command *kong.Node) {
	title := command.FullPath()
	for _, argument := range command.Positional {
		title += " " + argument.Summary()
	}
	p.line(".SS %s", quoted(title))
	p.text(command.Help)
	for _, flag := range visibleFlags(command) {
		if flag.Name == "help" {
			continue // every command has it
		}
		name := "--" + flag.Name
		if !flag.IsBool() {
			name += "=" + flag.FormatPlaceHolder()
		}
		help := flag.Help
		if flag.HasDefault && flag.PlaceHolder != "" { // else the placeholder is the default
			help += " Default: " + flag.Default + "."
		}
		p.line(".TP\n.B %s", escaped(name))
		p.text(help)
	}
	if command.Detail != "" {
		p.line(".PP")
		p.text(command.Detail)
	}
}

// text writes paragraphs. Indented lines are an example and keep their line breaks.
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

// escaped returns text in the syntax of roff, so that no line of it is taken for a request.
func escaped(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		return `\&` + text
	}
	return text
}

// quoted returns text as one argument of a request.
func quoted(text string) string { return `"` + strings.ReplaceAll(escaped(text), `"`, `\(dq`) + `"` }
