#!/usr/bin/env bash
# The tests on a PostgreSQL in a container. Where a Docker engine answers, it is used, with the
# image METERLEDGER_TEST_IMAGE (the official one, if nothing is said), and left as it is. Where none
# does, tools/container_engine.sh makes one for the time of the tests.
set -euo pipefail
cd "$(dirname "$0")/.."

answers() {
  .venv/bin/python -c 'import sys; from tests.support import containers as c; sys.exit(not c.engine_answers())'
}

major=${METERLEDGER_TEST_PG:-17}
tests=(.venv/bin/pytest -n 2 tests "$@")
if answers; then
  export METERLEDGER_TEST_IMAGE=${METERLEDGER_TEST_IMAGE:-postgres:$major}
  exec "${tests[@]}"
fi
if [ -n "${METERLEDGER_TEST_IMAGE:-}" ]; then
  printf 'error: %s\nnext step: %s\n' "no Docker engine answers, to run $METERLEDGER_TEST_IMAGE" \
    "start it, or leave METERLEDGER_TEST_IMAGE out to have an image made here" >&2
  exit 2
fi
tools/container_engine.sh "$major" "${tests[@]}"
