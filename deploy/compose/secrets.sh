#!/bin/sh
# Makes the secrets of docker-compose.yml, once, and writes to .env whose they are: the
# nodes run as that user, because compose shows a node the file itself.
set -eu
cd "$(dirname "$0")"
[ ! -e secrets ] || { echo "secrets.sh: secrets/ is there already; it is kept" >&2; exit 1; }
umask 077
new=secrets.part # only whole secrets are kept
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
