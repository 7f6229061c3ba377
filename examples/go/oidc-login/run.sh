#!/usr/bin/env bash
# Runs the provider on PROVIDER_ADDR and the shop on API_ADDR, beside the Pawl
# at PAWL_URL. Ctrl-C or SIGTERM ends both, and so does the end of either.
set -euo pipefail
export PROVIDER_ADDR=${PROVIDER_ADDR:-127.0.0.1:9998} API_ADDR=${API_ADDR:-127.0.0.1:9000}
export OIDC_ISSUER=${OIDC_ISSUER:-http://$PROVIDER_ADDR/}

dir=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
trap 'exit 0' INT TERM

cd "$(dirname "$0")"
go build -o "$dir/" . ./provider
"$dir/provider" &
until curl -sf -o "$dir/metadata" "${OIDC_ISSUER}.well-known/openid-configuration"; do
  kill -0 $!
  sleep 0.1
done
"$dir/oidc-login" &
wait -n
