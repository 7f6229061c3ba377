package main

import (
	"context"
	"fmt"

	"github.com/pawlauth/pawl/internal/app"
	"github.com/pawlauth/pawl/internal/store/sqlite"
	"github.com/pawlauth/pawl/internal/storecopy"
)

type storeCheckCmd struct {
	Data   string `default:"${data}" placeholder:"DIR" help:"Data folder."`
	Store  string `default:"${store}" placeholder:"ADDRESS" help:"Store: sqlite: (in --data) or postgres://..."`
	Backup string `placeholder:"FILE" help:"Check this backup instead."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (*storeCheckCmd) Help() string {
	return `Example:
  pawl store check --data /var/lib/pawl
  pawl store check --backup /backup/pawl-2026-11-24.db

Stop the server of a data folder first. The command reads everything and changes nothing. It checks each page of the
SQLite file and each row of the rotation log, that each session has its state and its user, and that each API key has
its user. For PostgreSQL it checks the rows alone, and the nodes may keep running. Exit code 0 means whole, 1 damaged
or in use, 2 that there is no store.`
}

func (c *storeCheckCmd) Run(ctx context.Context, std stdio) error {
	what, flag := c.Backup, "--backup"
	var report storecopy.Report
	var err error
	if c.Backup != "" {
		report, err = sqlite.CheckFile(ctx, c.Backup)
	} else {
		address, parseErr := parseStore("store", c.Store, c.Data)
		if parseErr != nil {
			return parseErr
		}
		what, flag = address.String(), storeFlag(address)
		report, err = app.CheckStore(ctx, address)
	}
	if err != nil {
		return explainMissing(err, flag)
	}
	whole := len(report.Problems) == 0
	switch {
	case c.JSON:
		err = printJSON(std.out, map[string]any{
			"whole": whole, "problems": append([]string{}, report.Problems...), "users": report.Users,
			"sessions": report.Sessions, "keys": report.APIKeys, "signingKeys": report.SigningKeys,
		})
	case whole:
		_, err = fmt.Fprintf(std.out, "%s is whole: %d users, %d sessions, %d API keys, %d signing keys.\n",
			what, report.Users, report.Sessions, report.APIKeys, report.SigningKeys)
	default:
		for _, problem := range report.Problems {
			fmt.Fprintln(std.out, problem)
		}
	}
	if err == nil && !whole {
		err = fmt.Errorf("%s is damaged: %d problems; restore a backup", what, len(report.Problems))
	}
	return err
}
