"""Figures of the operator on the cluster that is up; `make bench` runs it, `--help` says what it measures."""

import sys

# With this file's own folder on the path, it would stand in for the standard library's module of the same name.
sys.path[0] = sys.path[0].removesuffix("/benchmarks")

from benchmarks.command import main  # noqa: E402 - the line above must come first

if __name__ == "__main__":
    sys.exit(main())
