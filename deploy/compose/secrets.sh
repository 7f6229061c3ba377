#!/bin/sh
# Creates the secrets of docker-compose.yml, once, and writes their owner to .env. The
# nodes run as that user, because compose mounts the file itself into a node.
set -eu
cd "$(dirname "$0")"
[ ! -e secrets ] || { echo "secrets.sh: secrets/ exists already and is kept" >&2; exit 1; }
umask 077
new=secrets.part # renamed once it is complete
rm -rf "$new"
mkdir "$new"
openssl rand -base64 32 > "$new/master.key"
openssl rand -hex 24 > "$new/db-password"
echo "postgres:5432:pawl:pawl:$(cat "$new/db-password")" > "$new/pgpass"
owner=$(id -u):$(id -g)
if [ "$(id -u)" -eq 0 ]; then # no node runs as root
  owner=65532:65532
  chown "$owner" "$new"/*
fi
printf 'PAWL_USER=%s\nCOMPOSE_PROJECT_NAME=pawl\n' "$owner" > .env
mv "$new" secrets
