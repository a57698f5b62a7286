#!/usr/bin/env bash
# Rolls out on Supabase's own stack (supabase start, which wants Docker) and proves it there, also
# through its real API. The stack applies the migrations while it starts; the deploy adopts them.
# The stack is removed in the end, with its data.
set -euo pipefail
cd "$(dirname "$0")/.."

cli=${METERLEDGER_SUPABASE_CLI:-node_modules/.bin/supabase}
ledger() { .venv/bin/meterledger "$@"; }
trap '"$cli" stop --no-backup' EXIT
"$cli" start

# Assigned first: in eval alone, a status that fails would go unseen.
told=$("$cli" status --output env)
eval "$told"
export DATABASE_URL=${DB_URL:?} SUPABASE_URL=${API_URL:?}
export SUPABASE_ANON_KEY=${ANON_KEY:?} SUPABASE_SERVICE_ROLE_KEY=${SERVICE_ROLE_KEY:?}
export SUPABASE_JWT_SECRET=${JWT_SECRET:?} METERLEDGER_TIME_ZONE=UTC

ledger deploy stack --defer-backfill --yes
ledger backfill stack --yes
ledger validate stack
ledger isolation stack --api
