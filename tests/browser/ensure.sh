#!/usr/bin/env bash
# Makes sure that there is a Chromium for the tests of the HTML pages; installs Debian's where apt-get may.
set -euo pipefail
for name in chromium chromium-browser google-chrome google-chrome-stable; do
  command -v "$name" > /dev/null && exit 0
done
if [ "$(id -u)" != 0 ] || ! command -v apt-get > /dev/null; then
  echo "the HTML pages are tested in a browser, and there is none: install chromium (Debian: sudo apt-get install chromium)" >&2
  exit 1
fi
log=$(mktemp); trap 'rm -f "$log"' EXIT
quietly() { "$@" > "$log" 2>&1 || { cat "$log" >&2; echo "failed: $*" >&2; exit 1; }; }
export DEBIAN_FRONTEND=noninteractive
echo "chromium: installing it (once)"
quietly apt-get update -qq
quietly apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
