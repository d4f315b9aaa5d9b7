#!/usr/bin/env bash
# Make .venv, install what the tests need, run them all, a process per core.
# Arguments go to pytest: scripts/test.sh -k readme -x
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/environment.sh
. "$ROOT/scripts/environment.sh"

install_modelgpt "[test,dev,docs,plot]"
cd "$ROOT"

# A file's tests share what they build, so they stay together. A thread each is fastest where every core has its process.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec "$VENV/bin/python" -m pytest -n auto --dist loadfile "$@"
