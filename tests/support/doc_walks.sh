# Sourced by the walks of the documentation: what a reader has before a page's first command.
# shellcheck shell=bash
set -euo pipefail
umask 077

# An exit code of 1, findings, is an answer too.
may_find() { "$@" || [ $? = 1 ]; }

sql() { meterledger local psql --database "$1" -XAtqc "$2"; }

dump() { pg_dump --format=custom --file=app.dump "$(meterledger local url --database "$1")"; }

# A database of a dual-write app before its rollout; its .env file.
app() { meterledger local app "$1" --rows 400 --users 12 --time-zone Asia/Jakarta; }
environment() {
  cat >".env.$1" <<EOT
DATABASE_URL=$(meterledger local url --database "$1")
METERLEDGER_TIME_ZONE=Asia/Jakarta
METERLEDGER_RECEIPT_KEY=0123456789abcdef0123456789abcdef
EOT
}

rolled_out() {
  app "$1"
  environment "$1"
  meterledger deploy "$1" --defer-backfill
  meterledger backfill "$1"
}

# What a person decides: each reject is waived, each near match kept.
decided() {
  sql "$1" 'select distinct reason from ledger.migration_rejects' | while IFS= read -r reason; do
    meterledger rejects waive "$1" --reason-is "$reason" --because 'made up' </dev/null
  done
  meterledger duplicates keep "$1" --all --because 'made up'
}

meterledger local start
set -x
