#!/usr/bin/env bash
# Make .venv, install what the tests need, run them all, in three processes on two cores.
# Arguments go to pytest: scripts/test.sh -k readme -x
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/environment.sh
. "$ROOT/scripts/environment.sh"

install_modelgpt "[test,dev,docs,plot]"
cd "$ROOT"
# Pages are tested with their runtime where npm can get it; without, tests that need it are skipped.
[ -d modelgpt_cli/deployment/web/vendor ] || scripts/vendor_web.sh >/dev/null 2>&1 || true

# A thread each is fastest where every core has its process; and hundreds of processes import the same modules.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
unset PYTHONDONTWRITEBYTECODE
# Tests wait for the commands that they start, so there are three processes for two cores. Each takes tests in their
# order, as a file's share what they build, and at the end some of the others'.
WORKERS=$("$VENV/bin/python" -c 'import os; n = os.cpu_count() or 1; print(n + n // 2)')
exec "$VENV/bin/python" -m pytest -n "$WORKERS" --dist worksteal "$@"
