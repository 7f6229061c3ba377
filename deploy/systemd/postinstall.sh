#!/bin/sh
# Runs after a package is installed. It creates the user, and starts nothing,
# because "pawl init" comes first.
set -e
if command -v systemd-sysusers >/dev/null; then
  systemd-sysusers pawl.conf
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
