#!/usr/bin/env bash
# From a dual-write staging and production to promoted, back, and promoted again, with a writer
# running all the time; at the end no write is missing. Runs on this machine only, in a folder of
# its own, in a minute or two:
#
#   . .venv/bin/activate && docs/promotion.sh
set -euo pipefail

folder=$(mktemp -d)
chmod 711 "$folder" # the server's account, where root starts it, must get in
checkout=$PWD
cd "$folder"
export METERLEDGER_SUPABASE_CLI=${METERLEDGER_SUPABASE_CLI:-$checkout/node_modules/.bin/supabase}
say() { printf '\n== %s\n' "$*"; }
finish() {
  [ -z "${writer:-}" ] || kill "$writer" 2>/dev/null || :
  meterledger local stop >/dev/null
  rm -rf "$folder"
}
trap finish EXIT

say 'two dual-write databases, and what is known of them'
meterledger local start
key=$(python3 -c 'import secrets; print(secrets.token_hex(32))')
for name in staging production; do
  meterledger local app "$name" --rows 2000 --time-zone Asia/Jakarta
  umask 077
  cat >".env.$name" <<EOF
DATABASE_URL=$(meterledger local url --database "$name")
METERLEDGER_TIME_ZONE=Asia/Jakarta
METERLEDGER_RECEIPT_KEY=$key
EOF
done
meterledger env list

say 'a client in the field, which writes readings and keeps what was accepted'
user=$(meterledger local psql --database production -XAtqc \
  "insert into auth.users (id, email) values (gen_random_uuid(), 'writer@example.invalid') returning id")
(
  while :; do
    meterledger local psql --database production -XAtq \
      -c "insert into public.electricity_readings (user_id, date, kwh_value)
          values ('$user', current_date, 10) returning id" >>accepted 2>>refused || :
  done
) &
writer=$!

say 'staging: preflight, backup, deploy, backfill, validate, isolation, and a receipt'
meterledger rollout staging --yes

say 'production: the same, because staging was proven'
meterledger promote staging production --plan
meterledger promote staging production --confirm production
meterledger status production

say 'and back'
meterledger rollback production --to data --plan
meterledger rollback production --to data --confirm production

say 'and again'
meterledger promote staging production --confirm production --from deploy

kill "$writer"
wait "$writer" 2>/dev/null || :
writer=
meterledger local psql --database production -XAtqc \
  "select id from public.electricity_readings where user_id = '$user'" | sort >table
meterledger local psql --database production -XAtqc \
  "select id from public.electricity_readings_v where user_id = '$user'" | sort >view
sort -o accepted accepted
say "$(wc -l <accepted) writes accepted, $(wc -l <refused) refused"
missing=$(comm -23 accepted table | wc -l)
unseen=$(comm -23 accepted view | wc -l)
echo "missing from the table: $missing; missing from the view: $unseen"
[ "$missing" = 0 ] && [ "$unseen" = 0 ] && [ ! -s refused ]
