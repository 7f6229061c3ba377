package main

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/tracing"
)

// configCmd has the flags of serve, and shows their effective values.
type configCmd struct {
	serveCmd `embed:""`
	JSON     bool `name:"json" help:"Print JSON."`
}

func (c *configCmd) Help() string {
	return "Example:\n  PAWL_TOKEN_LIFE=15m pawl config --config pawl.json"
}

// setting is one line of the output.
type setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

// Run shows the settings. Their only secret is a password in the address of the store, because keys are in files and
// the settings only name the files.
func (c *configCmd) Run(parsed *kong.Context, std stdio, file *settingsFile) error {
	config, err := c.check()
	if err != nil {
		return err
	}
	var settings []setting
	for _, flag := range parsed.Selected().Flags {
		if commandLineOnly(flag.Name) {
			continue
		}
		source := file.source(flag.Name)
		if slices.ContainsFunc(parsed.Args, func(arg string) bool {
			return arg == "--"+flag.Name || strings.HasPrefix(arg, "--"+flag.Name+"=")
		}) {
			source = "flag"
		}
		value := fmt.Sprint(flag.Target.Interface())
		if flag.Name == "store" && config.Store.Kind() == app.Postgres {
			value = config.Store.String() // without the password
		}
		settings = append(settings, setting{Name: flag.Name, Value: value, Source: source})
	}
	if c.JSON { // without traces, so that a script can turn it into a file for --config
		return printJSON(std.out, settings)
	}
	settings = append(settings, tracesSetting())
	table := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, s := range settings {
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.Value, s.Source)
	}
	return table.Flush()
}

// tracesSetting returns where traces go. Traces have no settings of Pawl but the variables of OpenTelemetry, already
// checked by check.
func tracesSetting() setting {
	s := setting{Name: "traces", Value: "off", Source: "OTEL_*"}
	if wanted, err := tracing.Wanted(os.Getenv); err != nil || !wanted {
		return s
	}
	s.Value = cmp.Or(tracing.Endpoint(os.Getenv), "http://localhost:4318")
	if parsed, err := url.Parse(s.Value); err == nil {
		s.Value = parsed.Redacted()
	}
	return s
}
