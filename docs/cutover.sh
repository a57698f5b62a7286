#!/usr/bin/env bash
# A live writer through the cutover, back, and through it again: no write fails, none is missing,
# and the longest pause that it saw is printed. Runs on this machine only, in a folder of its own,
# in a minute:
#
#   . .venv/bin/activate && docs/cutover.sh
set -euo pipefail

folder=$(mktemp -d)
chmod 711 "$folder" # the server's account, where root starts it, must get in
checkout=$PWD
cd "$folder"
export METERLEDGER_SUPABASE_CLI=${METERLEDGER_SUPABASE_CLI:-$checkout/node_modules/.bin/supabase}
say() { printf '\n== %s\n' "$*"; }
sql() { meterledger local psql --database shop -XAtqc "$1"; }
finish() {
  [ -z "${writer:-}" ] || kill "$writer" 2>/dev/null || :
  meterledger local stop >/dev/null
  rm -rf "$folder"
}
trap finish EXIT

cutover() { meterledger cutover shop --acknowledge upserts --yes; }
cutback() {
  # What the table cannot hold (the demo's odd households have such) is set aside, by its number.
  number=$(sql 'select count(distinct (user_id, reading_id)) from ledger.archive_obstacles()')
  meterledger cutback shop --set-aside "$number" --yes
}

say 'a dual-write database, rolled out'
meterledger local start
meterledger local app shop --rows 2000 --time-zone Asia/Jakarta
umask 077
cat >.env.shop <<EOT
DATABASE_URL=$(meterledger local url --database shop)
METERLEDGER_TIME_ZONE=Asia/Jakarta
METERLEDGER_RECEIPT_KEY=$(python3 -c 'import secrets; print(secrets.token_hex(32))')
EOT
meterledger rollout shop --yes >rollout.log 2>&1 || { cat rollout.log; exit 1; }
tail -n 3 rollout.log

say 'what a person decides before: rejected readings'
# shellcheck disable=SC2046 # one word an id
meterledger rejects waive shop $(sql 'select reading_id from ledger.migration_rejects') \
  --because 'made up to be rejected' --yes

say 'a client that inserts, edits and reads, 100 requests a second'
user=$(sql "insert into auth.users (id, email)
            values (gen_random_uuid(), 'writer@example.invalid') returning id")
DATABASE_URL=$(meterledger local url --database shop) \
  python3 "$checkout/docs/cutover_writer.py" "$user" accepted refused pauses &
writer=$!
until [ -s pauses ]; do sleep 0.1; done

for switch in cutover cutback cutover; do
  say "$switch"
  before=$(wc -l <accepted)
  "$switch"
  until [ "$(wc -l <accepted)" -gt $((before + 200)) ]; do sleep 0.1; done
  echo "electricity_readings is now a $(sql "select case relkind when 'v' then 'view' else 'table' end
    from pg_class where oid = 'public.electricity_readings'::regclass")"
done

kill "$writer"
wait "$writer" 2>/dev/null || :
writer=
sql "select id from public.electricity_readings where user_id = '$user'" | sort >shown
sort -o accepted accepted
missing=$(comm -23 accepted shown | wc -l)
doubled=$(uniq -d shown | wc -l)
say "$(wc -l <accepted) writes accepted, $(wc -l <refused) refused"
echo "missing: $missing; twice: $doubled"
echo "longest pause of one request: $(sort -n pauses | tail -n 1) ms;" \
  "median: $(sort -n pauses | sed -n "$(($(wc -l <pauses) / 2))p") ms"
[ "$missing" = 0 ] && [ "$doubled" = 0 ] && [ ! -s refused ]
