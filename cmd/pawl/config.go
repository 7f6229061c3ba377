package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/console"
	"github.com/pawlauth/pawl/internal/tracing"
)

type configCmd struct {
	Show  configShowCmd  `cmd:"" default:"withargs" help:"Show the effective settings and their sources (the default)."`
	Check configCheckCmd `cmd:"" help:"Check the settings, and the files, store and addresses that they name."`
}

func (*configCmd) Help() string {
	return "Example:\n  pawl config --config pawl.json\n  pawl config check --config pawl.json"
}

// configShowCmd has the flags of serve, and shows their effective values.
type configShowCmd struct {
	serveCmd `embed:""`
	JSON     bool `name:"json" help:"Print JSON."`
}

func (c *configShowCmd) Help() string {
	return `If a setting is invalid, the others are shown nevertheless, and the exit code is 2.

Example:
  PAWL_TOKEN_LIFE=15m pawl config --config pawl.json`
}

func (*configShowCmd) showsProblems() {}

// setting is one line of the output.
type setting struct {
	Name    string `json:"name"`
	Value   string `json:"value"`
	Source  string `json:"source"`
	Problem string `json:"problem,omitempty"`
}

// Run shows the settings. Their only secret is a password in the address of the store, because keys are in files and
// the settings only name the files.
func (c *configShowCmd) Run(parsed *kong.Context, std stdio, sources *sources) error {
	config, err := c.check()
	err = errors.Join(sources.problems(), err)
	settings := effectiveSettings(parsed, sources, config, settingProblems(err))
	if c.JSON { // without traces, so that a script can turn it into a file for --config
		return errors.Join(err, printJSON(std.out, settings))
	}
	settings = append(settings, tracesSetting())
	table := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, s := range settings {
		row := strings.Join([]string{s.Name, s.Value, s.Source, s.Problem}, "\t")
		fmt.Fprintln(table, strings.TrimSuffix(row, "\t"))
	}
	return errors.Join(err, table.Flush())
}

// effectiveSettings returns the settings of the selected command. The problems are by name.
func effectiveSettings(
	parsed *kong.Context, sources *sources, config app.Config, problems map[string]string,
) (settings []setting) {
	for _, flag := range parsed.Selected().Flags {
		if !sources.settings[flag.Name] {
			continue
		}
		s := setting{
			Name: flag.Name, Value: flagText(flag), Source: sources.source(parsed, flag.Name),
			Problem: problems[flag.Name],
		}
		switch {
		case flag.Name == "store" && s.Problem != "":
			s.Value = "?" // it may have a password
		case flag.Name == "store" && config.Store.Kind() == app.Postgres:
			s.Value = config.Store.String() // without the password
		case s.Problem != "" && s.Source != "flag" && s.Source != "default":
			s.Value = sources.text(flag.Name)
		}
		settings = append(settings, s)
	}
	return settings
}

// consoleSettings returns the settings of a server for the console.
func consoleSettings(parsed *kong.Context, sources *sources, config app.Config) []console.Setting {
	var all []console.Setting
	for _, s := range effectiveSettings(parsed, sources, config, nil) {
		all = append(all, console.Setting{Name: s.Name, Value: s.Value, Source: s.Source})
	}
	return all
}

// settingProblems returns the problems in a joined error by the name of their setting.
func settingProblems(err error) map[string]string {
	all := map[string]string{}
	var add func(err error)
	add = func(err error) {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			for _, err := range joined.Unwrap() {
				add(err)
			}
		} else if bad, ok := errors.AsType[settingError](err); ok {
			all[bad.name] = cmp.Or(all[bad.name], bad.problem.Error())
		}
	}
	add(err)
	return all
}

// flagText returns the value of a flag as it is written on the command line.
func flagText(flag *kong.Flag) string {
	if d, ok := flag.Target.Interface().(time.Duration); ok {
		return shortDuration(d)
	}
	if flag.Target.Kind() != reflect.Slice {
		return fmt.Sprint(flag.Target.Interface())
	}
	var elements []string
	for i := range flag.Target.Len() {
		elements = append(elements, fmt.Sprint(flag.Target.Index(i).Interface()))
	}
	return strings.Join(elements, ",")
}

// tracesSetting returns where traces go. Traces have no settings of Pawl but the variables of OpenTelemetry.
func tracesSetting() setting {
	s := setting{Name: "traces", Value: "off", Source: "OTEL_*"}
	wanted, err := tracing.Wanted(os.Getenv)
	if err != nil {
		s.Value = "?"
	}
	if err != nil || !wanted {
		return s
	}
	s.Value = cmp.Or(tracing.Endpoint(os.Getenv), "http://localhost:4318")
	if parsed, err := url.Parse(s.Value); err == nil {
		s.Value = parsed.Redacted()
	}
	return s
}
