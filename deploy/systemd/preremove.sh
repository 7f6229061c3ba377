#!/bin/sh
# Of the packages: stops the server when the package goes, and not when another
# version of it comes. dpkg says "remove" then, rpm 0. The data stays.
set -e
case "$1" in
remove | 0)
  if [ -d /run/systemd/system ]; then
    systemctl disable --now pawl.service || : # one that is masked goes too
  fi
  ;;
esac
