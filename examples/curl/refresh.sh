#!/usr/bin/env bash
# Signs in, refreshes once, and shows that only the new token is valid.
# Secrets reach curl and jq through pipes and the environment, because every
# user of the machine can read arguments.
set -euo pipefail

fail() { echo "refresh.sh: $*" >&2; exit 1; }

for name in PAWL_URL ECGRID_API_KEY PAWL_LOGIN PAWL_PASSWORD; do
  [ -n "${!name:-}" ] || fail "$name is not set"
done

# post PATH [HEADER] sends standard input as the body. It prints the envelope of
# the answer with the HTTP status added.
post() {
  local answer
  answer=$(curl -sS --max-time 10 -X POST "$PAWL_URL$1" -H 'Content-Type: application/json' \
    -H @<(printf '%s\n' "${2:-Accept: application/json}") --data-binary @- -w '\n%{http_code}') || exit 1
  jq -s '.[0] + {status: .[1]}' <<<"$answer" 2>/dev/null || fail "$1: the answer is not JSON"
}

# exchange PATH [HEADER] is post for a call that must succeed.
exchange() {
  local answer
  answer=$(post "$@") || exit 1
  jq -e '.success == true' <<<"$answer" >/dev/null || fail "$1: $(jq -r '"\(.status) \(.errorCode): \(.message)"' <<<"$answer")"
  printf '%s\n' "$answer"
}

session() { post /v2/auth/session "Authorization: Bearer $(jq -r .data.token <<<"$1")" </dev/null; }

old=$(jq -n '{login: env.PAWL_LOGIN, password: env.PAWL_PASSWORD}' | exchange /v2/auth/login)
echo "signed in as user $(jq -r .data.userId <<<"$old")"

new=$(jq '{token: .data.token}' <<<"$old" | exchange /v2/auth/refresh "X-API-Key: $ECGRID_API_KEY")
echo "refreshed: new token expires $(jq -r .data.expiresAt <<<"$new")"

dead=$(session "$old" | jq -r '"\(.status) \(.errorCode)"')
echo "superseded token: $dead"
[ "$dead" = '401 InvalidSession' ] || fail 'the superseded token should be refused'

good=$(session "$new" | jq -r .status)
echo "new token: $good"
[ "$good" = 200 ] || fail 'the new token should be good'
