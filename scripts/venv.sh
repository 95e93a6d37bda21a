# Which Python, and in which folder its virtual environment lives. Sourced by the other scripts, from the top of the checkout.
# Rule: without $PYTHON the folder is .venv, made with the newest Python found; with $PYTHON=python3.12 it is .venv-3.12.
# Limits: Python 3.11 or newer; also found where pyenv keeps its versions when its shims are not switched to them.

fail() {
  echo "$*" >&2
  exit 1
}

is_new_enough() {
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Prints the full path of the interpreter called $1, when there is one that works and is new enough.
resolve_python() {
  local candidate
  for candidate in "$(command -v "$1" 2>/dev/null)" "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/*/bin/"$1"; do
    if [ -n "$candidate" ] && is_new_enough "$candidate"; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return 0
    fi
  done
  return 1
}

find_python() {
  local name
  if [ -n "${PYTHON:-}" ]; then
    resolve_python "$PYTHON" || fail "PYTHON=$PYTHON is not a working Python of version 3.11 or newer."
    return
  fi
  for name in python3.13 python3.12 python3.11 python3; do
    resolve_python "$name" && return
  done
  fail "Tollway needs Python 3.11 or newer and found none; install one, or name it with PYTHON=/path/to/python3."
}

# Prints the folder of the virtual environment; it may not exist yet.
venv_folder() {
  local python
  if [ -z "${PYTHON:-}" ]; then
    echo .venv
  else
    python="$(find_python)" || exit 1
    "$python" -c 'import sys; print(".venv-%d.%d" % sys.version_info[:2])'
  fi
}
