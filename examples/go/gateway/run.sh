#!/usr/bin/env bash
# Runs the API on API_ADDR behind nginx on GATEWAY_ADDR, which asks the Pawl at
# PAWL_URL. Ctrl-C or SIGTERM ends both, and so does the end of either.
set -euo pipefail
pawl=${PAWL_URL:-http://127.0.0.1:8080} api=${API_ADDR:-127.0.0.1:9000} gateway=${GATEWAY_ADDR:-127.0.0.1:8081}
PATH=$PATH:/usr/sbin # where Debian has nginx

here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
trap 'exit 0' INT TERM

(cd "$here" && go build -o "$dir/api" .)
sed -e "s/127\.0\.0\.1:8081/$gateway/; s/127\.0\.0\.1:8080/${pawl#http://}/; s/127\.0\.0\.1:9000/$api/" \
  "$here/../../gateways/nginx/pawl.conf" > "$dir/pawl.conf"
{
  [ "$(id -u)" -ne 0 ] || echo 'user root;' # root owns the folder
  echo "daemon off; pid $dir/pid; error_log stderr; events {}"
  echo "http { access_log off; include $dir/pawl.conf;"
  for what in client_body proxy fastcgi uwsgi scgi; do echo "${what}_temp_path $dir/$what;"; done
  echo "}"
} > "$dir/nginx.conf"

API_ADDR=$api "$dir/api" &
nginx -p "$dir" -c "$dir/nginx.conf" -e stderr &
wait -n
