"""Starts the operator: `python -m attune_operator`."""

import argparse
import asyncio
import gc
import logging
import os
import sys

import kopf
from pydantic.fields import FieldInfo

from attune_operator import __version__, handlers, process, settings


def _setting(name: str, field: FieldInfo) -> str:
    explained = " ".join((field.description or "").split())
    return f"  {settings.PREFIX}{name.upper():<24} {explained} (default: {field.default!r})"


EPILOG = "\n".join(
    ["settings, as environment variables:", *(_setting(*item) for item in settings.Settings.model_fields.items())]
)


def main() -> int:
    """Parses the command line, reads settings from the environment, and runs until SIGTERM.

    Returns:
        The exit code: 2 for unusable settings, 3 where the Lease was lost, 4 where it could not go on watching.
    """
    parser = argparse.ArgumentParser(
        prog="attune-operator",
        description="Runs FineTuneJobs: watches them, starts the pods of each stage, and writes status back. "
        "It needs a kubeconfig, or a service account inside a cluster.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--verbose", action="store_true", help="log every step")
    parser.add_argument("--version", action="version", version=__version__)
    arguments = parser.parse_args()
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stdout, level=logging.WARNING
    )
    logging.getLogger("attune").setLevel(logging.DEBUG if arguments.verbose else logging.INFO)
    try:
        own = settings.load(os.environ)
    except settings.SettingsError as error:
        print(f"attune-operator: {error}", file=sys.stderr)  # noqa: T201 - the command's answer
        return 2
    registry = kopf.OperatorRegistry()
    handlers.register(registry, own)
    logging.getLogger("attune").info("attune-operator %s starts", __version__)
    # What is loaded now stays; what comes is JSON, which has no cycles: fewer searches for them is a third less CPU.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    return asyncio.run(process.serve(registry, own.drain_seconds))


if __name__ == "__main__":
    sys.exit(main())
