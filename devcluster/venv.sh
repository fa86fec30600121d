#!/usr/bin/env bash
# Makes a virtual environment from a lock file: venv.sh PYTHON FOLDER LOCK UV. Whole or not at all.
set -euo pipefail
python=$1 folder=$2 lock=$3 uv=$4
log=$(mktemp); trap 'rm -f "$log"' EXIT
quietly() { "$@" > "$log" 2>&1 || { cat "$log" >&2; echo "failed: $*" >&2; exit 1; }; }

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; PYTHON=... names one" >&2; exit 1; }
echo "python environment: making it (about two minutes; the next time it is there)"
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
if ! "$python" -m venv "$folder" > "$log" 2>&1; then     # Debian keeps venv in a package of its own
  rm -rf "$folder"
  quietly apt-get update -qq
  quietly apt-get install -y -qq python3-venv
  quietly "$python" -m venv "$folder"
fi
quietly "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$uv"
quietly "$folder/bin/uv" pip install --quiet --compile-bytecode --python "$folder/bin/python" -r "$lock"
touch "$folder/READY"
