#!/usr/bin/env bash
# Pins requirements/*.txt from pyproject.toml: lock.sh UV. No index address gets into the files.
set -euo pipefail
uv=$1
mkdir -p requirements
for extra in operator data trainer dev; do
  "$uv" pip compile --quiet --no-header --no-emit-index-url --generate-hashes --python-version 3.11 \
    --no-emit-package attune --extra "$extra" pyproject.toml -o "requirements/$extra.txt"
  sed -i "1i # Pinned by \`make lock\` from pyproject.toml, extra $extra. Do not edit." "requirements/$extra.txt"
done
