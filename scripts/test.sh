#!/usr/bin/env bash
# Make .venv, install what the tests need, run them all, a process per core.
# Arguments go to pytest: scripts/test.sh -k readme -x
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/environment.sh
. "$ROOT/scripts/environment.sh"

install_modelgpt "[test,dev,docs,plot]"
cd "$ROOT"

# A thread each is fastest where every core has its process; and hundreds of processes import the same modules.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
unset PYTHONDONTWRITEBYTECODE
# Each core takes tests in their order, as a file's share what they build, and at the end some of the other's.
exec "$VENV/bin/python" -m pytest -n auto --dist worksteal "$@"
