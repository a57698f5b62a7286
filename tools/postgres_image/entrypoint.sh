#!/bin/sh
# Starts PostgreSQL as the official image does, in what the tests ask of it: POSTGRES_USER is the
# superuser, with POSTGRES_PASSWORD; PGPORT is the port, on all addresses. Nothing is kept.
set -eu

bin=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data
secret=$(mktemp)
as_postgres() {
  HOME=/var/lib/postgresql setpriv --reuid=postgres --regid=postgres --init-groups -- "$@"
}

printf '%s\n' "$POSTGRES_PASSWORD" >"$secret"
chown postgres "$secret"
install -d -o postgres -g postgres -m 700 "$data"
as_postgres "$bin/initdb" --pgdata="$data" --username="$POSTGRES_USER" --pwfile="$secret" \
  --auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync
rm "$secret"
echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
HOME=/var/lib/postgresql exec setpriv --reuid=postgres --regid=postgres --init-groups -- \
  "$bin/postgres" -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
