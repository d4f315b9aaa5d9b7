# Sourced by the demos and test.sh: the checkout's .venv, made and filled where needed. Expects ROOT.

VENV="$ROOT/.venv"

say() { printf '\n==> %s\n' "$*" >&2; }

# Show a command, then run it.
run() {
  printf '\n$ %s\n' "$*" >&2
  "$@"
}

fail() {
  printf 'Error: %s\n' "$1" >&2
  shift
  if [ $# -gt 0 ]; then printf '  %s\n' "$@" >&2; fi
  exit 1
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; }

# Print the first Python >= 3.10; $PYTHON, where set, is the only candidate.
find_python() {
  local candidate
  for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python3.14 python}; do
    if command -v "$candidate" >/dev/null && is_new_enough "$candidate"; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  fail "no Python 3.10 or newer was found${PYTHON:+ (PYTHON=$PYTHON)}." \
    "python3 here is: $(python3 --version 2>&1 || true)" \
    "Install Python 3.10 or newer, or name one: PYTHON=/path/to/python $0"
}

make_venv() {
  if [ -e "$VENV" ]; then
    is_new_enough "$VENV/bin/python" ||
      fail "$VENV does not hold a Python 3.10 or newer." "Move it away, then run $0 again."
    return
  fi
  local python
  python=$(find_python)
  say "Making $VENV with $("$python" --version)"
  if ! "$python" -m venv "$VENV"; then
    rm -rf "$VENV"
    fail "$python could not make a virtual environment." \
      "On Debian or Ubuntu its parts come separately: apt install python3-venv"
  fi
}

# What an installation depends on: this checkout's place and its settings.
fingerprint() { { printf '%s\n' "$ROOT" && cat "$ROOT/setup.cfg" "$ROOT/pyproject.toml"; } | cksum; }

# Install with uv, which unpacks on every core: a quarter of pip's time. It doesn't read pip's settings, of its files or
# of the environment: those of indexes and constraints are handed on.
install_with_uv() {
  "$VENV/bin/python" -m pip install --disable-pip-version-check --quiet uv || return
  local settings name variable value
  settings=$("$VENV/bin/python" -m pip config list)
  for name in index-url=UV_DEFAULT_INDEX extra-index-url=UV_INDEX find-links=UV_FIND_LINKS constraint=UV_CONSTRAINT \
    cert=SSL_CERT_FILE; do
    variable=${name#*=}
    value=$(sed -nE "s/^(:env:|global)\.${name%=*}='(.*)'\$/\2/p" <<<"$settings" | head -n 1)
    if [ -n "$value" ] && [ -z "${!variable:-}" ]; then export "$variable=$value"; fi
  done
  # As in pip, the newest release counts, whichever index has it.
  UV_INDEX_STRATEGY=unsafe-best-match "$VENV/bin/python" -m uv pip install --quiet --python "$VENV/bin/python" "$@"
}

# install_modelgpt EXTRAS ("" or "[test,dev]"); nothing to do while setup.cfg and pyproject.toml stay as they were.
install_modelgpt() {
  local extras=$1 stamp="$VENV/.modelgpt-installed"
  make_venv
  if [ -x "$VENV/bin/modelgpt" ] && [ "$(cat "$stamp$extras" 2>/dev/null)" = "$(fingerprint)" ]; then
    return
  fi
  say "Installing modelgpt-cli$extras (the first time some minutes: PyTorch may bring several GB)"
  (install_with_uv --editable "$ROOT$extras") ||
    "$VENV/bin/python" -m pip install --disable-pip-version-check --quiet --editable "$ROOT$extras" ||
    fail "the installation did not succeed." "pip's words are above; run $0 again when its cause is gone."
  fingerprint | tee "$stamp" >"$stamp$extras"
}
