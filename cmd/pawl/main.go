// Command pawl keeps sessions for an HTTP API.
//
// Each command is a struct in a file of its own: its fields are its flags, and its Run method carries it out. run, in
// cli.go, parses a command line and calls that method. Commands for a running server embed remote and use the public
// client. The settings of a server are in settings.go, storesettings.go, limits.go and observe.go; settingsFile reads
// them from PAWL_* variables and from the file of --config. reload.go, certificate.go and log.go are for SIGHUP.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	raiseProcs()
	// The signals stay caught until the exit, so that a second one kills no process about to exit with 0.
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	os.Exit(run(ctx, os.Args[1:], stdio{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
