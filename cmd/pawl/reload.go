package main

import (
	"context"
	"log/slog"
	"os"

	"github.com/coreos/go-systemd/v22/daemon"
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
		notifySystemd(log.Logger, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
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
		notifySystemd(log.Logger, daemon.SdNotifyReady)
	}
}

// notifySystemd sends a state to systemd, if systemd started the process.
func notifySystemd(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("cannot notify systemd", "err", err)
	}
}
