package main

import (
	"context"
	"os"
)

// reloadOnHangup reloads the certificate, if there is one, and reopens the log file, if there is one, for each SIGHUP
// until ctx ends.
func reloadOnHangup(ctx context.Context, hangups <-chan os.Signal, log *serverLog, pair *certificate) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
		}
		if log.file != nil {
			if err := log.file.reopen(); err != nil {
				log.Error("cannot reopen the log; it continues in the current file", "err", err)
			}
		}
		if pair != nil {
			if err := pair.reload(); err != nil {
				log.Error("cannot reload; the server keeps the current certificate", "err", err)
			}
		}
		log.Info("reloaded")
	}
}
