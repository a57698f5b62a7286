#!/bin/sh
# Recompiles requirements/*.txt from pyproject.toml, and package-lock.json from package.json.
# One requirements file is right for every supported Python and platform (uv's --universal).
# Options go to uv: --upgrade, or --upgrade-package NAME.
set -eu
cd "$(dirname "$0")/.."

compile() {
  output=$1
  shift
  .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
    --generate-hashes --no-emit-index-url --no-config --custom-compile-command 'make lock' \
    --output-file "$output" "$@"
}

compile requirements/dev.txt --extra local --extra test --extra dev "$@"
# What a user gets is what was tested, less what only tests and development need.
compile requirements/run.txt --extra local --constraint requirements/dev.txt
# What make bench adds to what make test has.
compile requirements/bench.txt --extra bench --constraint requirements/dev.txt

# What a platform installs beside the handlers.
.venv/bin/uv pip compile functions/requirements.in --quiet --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-config --custom-compile-command 'make lock' \
  --constraint requirements/dev.txt --output-file functions/requirements.txt

npm install --package-lock-only --ignore-scripts --no-audit --no-fund --loglevel=error
.venv/bin/python tools/complete_package_lock.py
