#!/usr/bin/env bash
# Copies an environment's newest backup to where it outlives this machine: BACKUP_STORE, a folder,
# or s3://bucket/prefix by the AWS command line, whose credentials come from elsewhere (in CI by
# OIDC). The backup holds users' data: whoever reads the store reads them.
set -euo pipefail
cd "$(dirname "$0")/.."

environment=${1:-}
fail() {
  printf 'error: %s\nnext step: %s\n' "$1" "$2" >&2
  exit 2
}

[ -n "$environment" ] || fail 'no environment is named' 'make keep-backup ENV=production'
[ -n "${BACKUP_STORE:-}" ] ||
  fail 'BACKUP_STORE says no place, and this machine may be thrown away' \
    'set it to a folder that stays, or to s3://bucket/prefix'

folder=${METERLEDGER_BACKUPS:-${METERLEDGER_HOME:-.meterledger}/backups/$environment}
newest=
for backup in "$folder"/*/manifest.json; do # sorted, and each is named by its time
  [ -f "$backup" ] && newest=$(dirname "$backup")
done
[ -n "$newest" ] ||
  fail "there is no backup in $folder" "make one: meterledger backup $environment"

store=${BACKUP_STORE%/}/$environment/$(basename "$newest")
case $BACKUP_STORE in
  s3://*) aws s3 cp --recursive --only-show-errors --sse AES256 "$newest" "$store" ;;
  *)
    umask 077
    mkdir -p "$(dirname "$store")"
    cp -R "$newest" "$store.partial"
    mv -T "$store.partial" "$store"
    ;;
esac
echo "kept: $store"
