package main

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"github.com/pawlauth/pawl/internal/app"
)

// configCmd takes the flags of serve, and shows what serve would do with them.
type configCmd struct {
	serveCmd `embed:""`
	JSON     bool `name:"json" help:"Print JSON."`
}

func (c *configCmd) Help() string {
	return "Example:\n  PAWL_TOKEN_LIFE=15m pawl config --config pawl.json"
}

type setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

// Run shows the settings. None of them is a secret, but for a password in the
// store's address: the others are in files, of which the settings have the names.
func (c *configCmd) Run(parsed *kong.Context, std stdio, file *settingsFile) error {
	config, err := c.check()
	if err != nil {
		return err
	}
	var all []setting
	for _, flag := range parsed.Selected().Flags {
		if unsettable(flag.Name) {
			continue
		}
		source := file.source(flag.Name)
		if slices.ContainsFunc(parsed.Args, func(arg string) bool {
			return arg == "--"+flag.Name || strings.HasPrefix(arg, "--"+flag.Name+"=")
		}) {
			source = "flag"
		}
		value := fmt.Sprint(flag.Target.Interface())
		if flag.Name == "store" && config.Store.Kind() == app.Postgres { // it may have a password
			value = config.Store.String()
		}
		all = append(all, setting{flag.Name, value, source})
	}
	if c.JSON { // fit for the file of --config, so without what is not a setting of Pawl's
		return printJSON(std.out, all)
	}
	table := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, s := range append(all, tracesSetting()) {
		fmt.Fprintf(table, "%s\t%s\t%s\n", s.Name, s.Value, s.Source)
	}
	return table.Flush()
}
