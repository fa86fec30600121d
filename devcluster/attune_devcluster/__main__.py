"""The command line: `python3 -m attune_devcluster up|down|status|env|image`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys

from attune_devcluster import build, description, existing, files, image_memory, images, kind, local, prune, status
from attune_devcluster.choose import Kind, choose, docker_runs, kind_installed
from attune_devcluster.console import say
from attune_devcluster.description import Description
from attune_devcluster.docker_images import DockerBuilder
from attune_devcluster.errors import ClusterError
from attune_devcluster.local_images import BuildahBuilder
from attune_devcluster.paths import Layout


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(argv)
    layout = Layout.from_environment(os.environ)
    os.environ["PATH"] = layout.path_with_tools(os.environ)
    try:
        return int(options.command(layout, options))
    except ClusterError as error:
        say(error.render())
        return 1
    except KeyboardInterrupt:
        say("stopped; run the same command to go on where it was")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="attune_devcluster", description="The local Kubernetes for Attune's demo and tests."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    up = commands.add_parser("up", help="bring the cluster up; does nothing where it is up")
    extras = "kwok: fake nodes for benchmarks; kueue: queues with quota, kept up until it is taken away"
    up.add_argument("--with", dest="extras", choices=sorted(local.OPTIONAL), action="append", default=[], help=extras)
    up.add_argument("--without", choices=["kueue"], help="take it away, with its queues")
    up.set_defaults(command=_up)
    down = commands.add_parser("down", help="stop what `up` started, and nothing else")
    down.add_argument("--purge", action="store_true", help="delete the cluster's data too; caches of builds are kept")
    down.set_defaults(command=_down)
    commands.add_parser("status", help="what runs, where, and how much disk it takes").set_defaults(command=_status)
    commands.add_parser("env", help="print shell variables that reach the cluster").set_defaults(command=_env)
    _image_parser(commands.add_parser("image", help="build our images and load them into the cluster"))
    return parser


def _image_parser(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="command")
    names = {"nargs": "*", "metavar": "name", "help": f"{', '.join(images.IMAGES)}; all of them when left out"}
    making = commands.add_parser("build", help="build and load what has changed")
    making.add_argument("names", **names)  # type: ignore[arg-type]  # argparse's stubs want one type for all values
    making.set_defaults(command=_image_build)
    listing = commands.add_parser("list", help="references for this checkout")
    listing.add_argument("names", **names)  # type: ignore[arg-type]  # as above
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(command=_image_list)
    commands.add_parser("prune", help="remove versions that nobody needs").set_defaults(command=_image_prune)


def _up(layout: Layout, options: argparse.Namespace) -> int:
    chosen = choose(os.environ, kind_installed, docker_runs)
    with files.lock(layout.cache / "cluster.lock", "starting or stopping the cluster"):
        description.save(layout, _bring_up(layout, chosen, options.extras, options.without))
    return 0


def _bring_up(layout: Layout, chosen: Kind, extras: list[str], without: str | None) -> Description:
    if chosen is Kind.DEVCLUSTER:
        return local.up(layout, extras, without)
    if extras or without:
        names = ", ".join([*extras, *([without] if without else [])])
        raise ClusterError(
            f"{names}: only for the devcluster, and this is {chosen.value}", hint="install and remove it there yourself"
        )
    if chosen is Kind.CONTEXT:
        existing.must_be_described(os.environ)
    local.link(layout, build.ensure(layout, build.command_line_tools(layout.path_without_tools(os.environ))))
    return kind.up(layout) if chosen is Kind.KIND else existing.up(layout, os.environ)


def _down(layout: Layout, options: argparse.Namespace) -> int:
    with files.lock(layout.cache / "cluster.lock", "starting or stopping the cluster"):
        kind.down(layout)
        local.down(layout, purge=options.purge)
        layout.description.unlink(missing_ok=True)
    return 0


def _status(layout: Layout, _: argparse.Namespace) -> int:
    found = description.load(layout)
    print(status.render(layout, found))
    return 0 if status.healthy(layout, found) else 1


def _env(layout: Layout, _: argparse.Namespace) -> int:
    found = description.load(layout)
    print(description.exports(description.environment(layout, found, os.environ.get("PATH", ""))))
    return 0


def _builder(layout: Layout) -> images.Builder:
    found = description.load(layout)
    if found.kind is Kind.DEVCLUSTER or not docker_runs():
        return BuildahBuilder(layout, found.registry)
    return DockerBuilder(found.registry)


def _image_build(layout: Layout, options: argparse.Namespace) -> int:
    chosen = images.select(options.names)
    builder = _builder(layout)
    with files.lock(layout.cache / "images.lock", "building images"):
        if images.ensure(layout, builder, chosen) and description.load(layout).kind is Kind.DEVCLUSTER:
            prune.prune(layout, image_memory.policy(shutil.disk_usage(layout.cache).free))
    return 0


def _image_list(layout: Layout, options: argparse.Namespace) -> int:
    listing = images.listing(_builder(layout), images.select(options.names))
    if options.json:
        print(json.dumps(listing, indent=2))
        return 0
    for name, facts in listing.items():
        print(f"{name:<10}{facts['reference']}  {facts['digest'] or 'not built yet: `make image`'}")
    return 0


def _image_prune(layout: Layout, _: argparse.Namespace) -> int:
    with files.lock(layout.cache / "images.lock", "building images"):
        for reference in prune.prune(layout, image_memory.TIGHT):
            say(f"removed {reference}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
