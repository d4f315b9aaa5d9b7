#!/usr/bin/env bash
# Make .venv, install what the tests need, run them all. Arguments go to pytest: scripts/test.sh -k readme -x
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/environment.sh
. "$ROOT/scripts/environment.sh"

install_modelgpt "[test,dev,docs,plot]"
cd "$ROOT"
exec "$VENV/bin/python" -m pytest "$@"
