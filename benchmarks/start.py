"""Figures of how a stage begins and ends; `--help` says what it measures."""

import sys

# With this file's own folder on the path, modules beside it would stand in for the standard library's.
sys.path[0] = sys.path[0].removesuffix("/benchmarks")

from benchmarks.starting import main  # noqa: E402 - the line above must come first

if __name__ == "__main__":
    sys.exit(main())
