#!/bin/sh
# Runs before a package is removed or replaced. It stops the server only on a
# removal, for which dpkg passes "remove", and rpm 0. The data stays.
set -e
case "$1" in
remove | 0)
  if [ -d /run/systemd/system ]; then
    systemctl disable --now pawl.service || : # a masked unit must not stop the removal
  fi
  ;;
esac
