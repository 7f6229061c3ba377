#!/bin/sh
# Of the packages: makes the user, and starts nothing; "pawl init" comes first.
set -e
if command -v systemd-sysusers >/dev/null; then
  systemd-sysusers pawl.conf
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
