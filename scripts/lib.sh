# Shared by the scripts of this folder: where things are, how progress and failure are told.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the scripts that source this file use them
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DEPS=$ROOT/.deps
CRIU=$DEPS/criu/sbin/criu
STEP=0
STEPS=0

# step TEXT: the next numbered line of progress.
step() {
  STEP=$((STEP + 1))
  printf '[%d/%d] %s\n' "$STEP" "$STEPS" "$*"
}

# missing WHAT, WHAT-TO-DO: one line, then the end.
missing() {
  printf 'icon: %s. %s\n' "$1" "$2" >&2
  exit 1
}

need_root() {
  [ "$(id -u)" -eq 0 ] || missing "$1 needs root (network namespaces, mounts, CRIU)" \
    "Run it as root, for example: sudo make ${2:-test}"
}

# quietly LOG COMMAND..: its output goes to LOG; on failure the last lines are shown.
quietly() {
  local log=$1
  shift
  mkdir -p "$(dirname "$log")"
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    return 1
  fi
}
