"""Removes the files of a run whose FineTuneJob was deleted with `output.deletionPolicy: Delete`.

    python -m attune_trainer.sweep [--config FILE]

It is no stage: the run is over, and all that is left of it is a prefix. Nothing outside `<output.uri>/runs/<run id>/`
is ever touched. What it removed is its last line; why it could not, its only words.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from attune_contract.enums import Role
from attune_contract.runconfig import RUN_CONFIG_PATH, RunConfig
from attune_trainer import configuration
from attune_trainer.errors import BucketNotFoundError, InvalidConfigurationError, StageError
from attune_trainer.storage.resolve import Stores


def sweep(config: RunConfig, environment: Mapping[str, str]) -> int:
    """Removes everything below a run's prefix, and what is left of uploads that never became objects.

    The manifest goes last: while it is there, what is left still says what it was.

    Args:
        config: names the run, its output and the credentials.
        environment: where keys come from for a role without a Secret.

    Returns:
        How many objects were removed.

    Raises:
        StageError: the store refuses, or the Secret is gone.
    """
    prefix = run_prefix(config)
    store = Stores(config, environment).open(Role.OUTPUT, prefix)
    try:
        found = [info.uri for info in store.list(prefix) if info.uri.startswith(prefix)]
    except BucketNotFoundError:
        return 0
    for uri in sorted(found, key=lambda uri: (uri == f"{prefix}manifest.json", uri)):
        store.delete(uri)
    with suppress(StageError):  # keys that may remove objects need not be able to see what never became one
        store.drop_uploads(prefix)
    return len(found)


def run_prefix(config: RunConfig) -> str:
    """The prefix with its closing slash, so that no other run's begins with it.

    Raises:
        InvalidConfigurationError: the run has no id, and the prefix would be that of all runs.
    """
    if len(config.run.id) < 8 or "/" in config.run.id or ".." in config.run.id:  # noqa: PLR2004 - a UID is far longer
        raise InvalidConfigurationError(f"{config.run.id!r} is no run id; nothing is removed.")
    return f"{config.run_uri.rstrip('/')}/"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        0, or the exit code of what went wrong, said on standard error.
    """
    parser = argparse.ArgumentParser(prog="attune_trainer.sweep", description="Remove the files of a deleted run.")
    parser.add_argument("--config", type=Path, default=Path(RUN_CONFIG_PATH), metavar="FILE")
    _, config = configuration.read(parser.parse_args(arguments).config)
    try:
        if isinstance(config, Exception):
            raise config
        count = sweep(config, os.environ)
    except StageError as error:
        sys.stderr.write(f"{error.reason}: {error}\n")
        return int(error.exit_code)
    sys.stdout.write(f"Removed {count} objects below {run_prefix(config)}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
