#!/usr/bin/env bash
# Runs a command with a Docker engine of its own and an image of PostgreSQL, on a machine that has
# neither: tools/container_engine.sh MAJOR COMMAND…, which gets DOCKER_HOST and
# METERLEDGER_TEST_IMAGE. Both come out of Debian's packages, unpacked into build/containers:
# nothing is installed, no image is pulled. The engine has no network of its own, so a container
# uses the machine's. It ends with the command, and its images and containers go.
# Wants root, on a Debian with apt.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf 'error: %s\nnext step: %s\n' "$1" "$2" >&2
  exit 2
}

major=$1
shift
case $major in # the Debian that carries it
  15) suite=bookworm ;;
  17) suite=trixie ;;
  *) fail "no image of PostgreSQL $major can be made here" "say 15 or 17 in METERLEDGER_TEST_PG" ;;
esac
if [ "$(id -u)" != 0 ] || ! command -v apt-get dpkg >/dev/null; then
  fail "no Docker engine answers, and making one wants root on a Debian" "start Docker, or be root"
fi

kept=$PWD/build/containers
programs=$kept/programs
system=$kept/postgres-$major.tar
mkdir -p "$kept"

# Each part is made under another name first: one that is there is whole.
if [ ! -d "$programs" ]; then
  echo "Unpacking Docker and debootstrap into build/containers" >&2
  unpacked=$(mktemp -d "$kept/making.XXXXXX")
  wanted=(docker.io containerd runc tini debootstrap)
  (
    cd "$unpacked"
    # As root, and not as apt's own account, which may not reach this folder.
    fetch=(apt-get -qq -o APT::Sandbox::User=root)
    "${fetch[@]}" download "${wanted[@]}" ||
      { "${fetch[@]}" update && "${fetch[@]}" download "${wanted[@]}"; }
    for package in ./*.deb; do dpkg -x "$package" root; done
  )
  mv "$unpacked/root" "$programs"
  rm -rf "$unpacked"
fi
PATH=$programs/usr/sbin:$programs/usr/bin:$PATH

if [ ! -f "$system" ]; then
  echo "Making a Debian $suite with PostgreSQL $major in build/containers" >&2
  tree=$(mktemp -d "$kept/making.XXXXXX")
  DEBOOTSTRAP_DIR=$programs/usr/share/debootstrap debootstrap --variant=minbase \
    --include="postgresql-$major" "$suite" "$tree/system" >"$tree/log" 2>&1 ||
    { tail -5 "$tree/log" >&2; fail "debootstrap failed" "read $tree/log"; }
  rm -rf "$tree"/system/var/cache/apt/* "$tree"/system/var/lib/postgresql/*
  tar -C "$tree/system" --numeric-owner --exclude=./dev/* --exclude=./proc/* -cf "$tree/tar" .
  mv "$tree/tar" "$system"
  rm -rf "$tree"
fi

state=$(mktemp -d "${TMPDIR:-/tmp}/meterledger-engine.XXXXXX")
engine=
end() {
  if [ -n "$engine" ]; then
    kill "$engine" 2>/dev/null || :
    wait "$engine" || :
  fi
  # The deepest mounts first.
  awk -v under="$state/" 'index($2, under) == 1 { print $2 }' /proc/self/mounts | sort -r |
    while read -r mounted; do umount "$mounted"; done
  rm -rf --one-file-system "$state"
}
trap end EXIT
trap 'exit 130' INT TERM

export DOCKER_HOST=unix://$state/socket
# It must not outlive this script, whatever becomes of it.
setpriv --pdeathsig TERM dockerd --bridge=none --iptables=false --ip6tables=false \
  --host="$DOCKER_HOST" --data-root="$state/data" --exec-root="$state/exec" \
  --pidfile="$state/pid" >"$state/log" 2>&1 &
engine=$!
for _ in $(seq 60); do
  if docker version >/dev/null 2>&1; then break; fi
  kill -0 "$engine" 2>/dev/null || { tail -5 "$state/log" >&2; fail "dockerd ended" "see above"; }
  sleep 0.5
done

docker import "$system" "meterledger-debian:$suite" >/dev/null
docker build --quiet --build-arg "ROOT_FILE_SYSTEM=meterledger-debian:$suite" \
  --tag "meterledger-postgres:$major" tools/postgres_image >/dev/null

# Ryuk, which removes what a killed run leaves, is an image that would be pulled.
export METERLEDGER_TEST_IMAGE=meterledger-postgres:$major TESTCONTAINERS_RYUK_DISABLED=true
"$@"
