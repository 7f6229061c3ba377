package main

import (
	"context"
	"fmt"

	"github.com/pawlauth/pawl/internal/app"
)

type storeDistributeCmd struct {
	Store  string `required:"" placeholder:"ADDRESS" help:"Store: postgres://USER@COORDINATOR/DATABASE."`
	Shards int    `placeholder:"N" help:"Shards of the sessions; 2 for each worker if 0."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (*storeDistributeCmd) Help() string {
	return `Example:
  pawl store distribute --store postgres://pawl@coordinator/pawl

The database needs the extension citus on the coordinator and on each worker, and the coordinator needs the addresses of
all (citus_set_coordinator_host, citus_add_node). Stop all servers first. The sessions move to the workers; users and
API keys are copied to each of them; all else stays on the coordinator. Afterwards PAWL_STORE may name any worker. There
is no way back except pawl store copy to a new database. Put an address with a password into PAWL_STORE.

Run the command again after you have added a worker, and before you move shards to it: it then sets the settings of
Pawl's user on every server, and the servers of Pawl may keep running. To get more shards, split them with Citus.`
}

func (c *storeDistributeCmd) Run(ctx context.Context, std stdio) error {
	address, err := parseStore("store", c.Store, "")
	if err != nil {
		return err
	}
	if c.Shards < 0 {
		return usagef("--shards must not be negative; leave it out for the default")
	}
	d, err := app.DistributeStore(ctx, address, c.Shards)
	switch {
	case err != nil:
		return explainMissing(err, "--store")
	case c.JSON:
		return printJSON(std.out, map[string]int{"shards": d.Shards, "workers": d.Workers})
	}
	_, err = fmt.Fprintf(std.out, "The sessions are in %d shards on %d workers.\n", d.Shards, d.Workers)
	return err
}
