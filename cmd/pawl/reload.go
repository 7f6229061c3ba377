package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// certificatePoll is how often the files of the certificate are read.
const certificatePoll = 2 * time.Second

// reload reloads the certificate, if there is one of files, and reopens the log file, if there is one, for each SIGHUP
// until ctx ends. It also reloads the certificate when its files have changed.
func reload(ctx context.Context, hangups <-chan os.Signal, log *serverLog, pair *certificate) {
	tick := time.NewTicker(certificatePoll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if pair != nil {
				reloaded, err := pair.poll()
				reportReload(log, pair, reloaded, err)
			}
			continue
		case <-hangups:
		}
		notifySystemd(log.Logger, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
		done := true
		if log.file != nil {
			if err := log.file.reopen(); err != nil {
				log.Error("cannot reopen the log; it continues in the current file", "err", err)
				done = false
			}
		}
		if pair != nil {
			err := pair.reload()
			reportReload(log, pair, true, err)
			done = done && err == nil
		}
		if done {
			log.Info("reloaded")
		} else {
			log.Warn("reloaded in part; see the errors above")
		}
		notifySystemd(log.Logger, daemon.SdNotifyReady)
	}
}

// reportReload logs the result of a reload of the certificate, if there was one.
func reportReload(log *serverLog, pair *certificate, reloaded bool, err error) {
	switch {
	case err != nil:
		log.Error("cannot reload; the server keeps the current certificate", "err", err)
	case reloaded:
		at, _ := pair.notAfter()
		log.Info("certificate reloaded", "notAfter", formatTime(at))
	}
}

// notifySystemd sends a state to systemd, if systemd started the process.
func notifySystemd(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("cannot notify systemd", "err", err)
	}
}
