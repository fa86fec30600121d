"""Builds the Go programs, each cached on its own by the hash of what goes into it."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from attune_devcluster.console import Step, say
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import MODULES, Layout
from attune_devcluster.shell import output, run
from attune_devcluster.tools import HELM, KUBECTL, Tool

UNUSED_FOR_SECONDS = 14 * 24 * 3600
# Nothing of the user's own Go settings may change what is built.
GO_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}


def cache_key(tool: Tool, modules: Path, go_version: str) -> str:
    """Hash of everything that decides what the binary will be: module files, package, flags, compiler."""
    digest = hashlib.sha256()
    for text in (go_version, tool.name, tool.package, ",".join(tool.tags), tool.linker_flags(modules)):
        digest.update(text.encode() + b"\0")
    for path in sorted((modules / tool.module).iterdir()):
        if path.suffix in {".go", ".mod", ".sum"}:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def command(tool: Tool, modules: Path, target: Path) -> list[str]:
    """The `go build` that makes one program."""
    tags = [f"-tags={','.join(tool.tags)}"] if tool.tags else []
    flags = ["-trimpath", *tags, f"-ldflags={tool.linker_flags(modules)}"]
    return ["go", "build", "-C", str(modules / tool.module), *flags, "-o", str(target), tool.package]


def ensure(layout: Layout, tools: Sequence[Tool]) -> dict[str, Path]:
    """Build what is not in the cache yet.

    Returns:
        The binary of each tool, by name.

    Raises:
        ClusterError: Go is missing, or a build failed.
    """
    go_version = _go_version()
    paths = {tool.name: layout.binaries / cache_key(tool, MODULES, go_version) / tool.name for tool in tools}
    absent = [tool for tool in tools if not paths[tool.name].exists()]
    if absent:
        layout.binaries.mkdir(parents=True, exist_ok=True)
        note = "; all of them take 10 to 15 minutes on 2 cores" if len(absent) == len(tools) > 1 else ""
        say(f"building {len(absent)} of {len(tools)} programs from Go modules into {layout.binaries} (once{note})")
    for number, tool in enumerate(absent, start=1):
        _build(layout, tool, paths[tool.name], f"[{number}/{len(absent)}]")
    for path in paths.values():
        path.parent.touch()
    if absent:
        _forget_unused(layout.binaries)
    return paths


def command_line_tools(path: str) -> list[Tool]:
    """The tools `helm` and `kubectl`, where the machine has no usable one itself.

    Args:
        path: where to look for them, in PATH's form.
    """
    helm = shutil.which("helm", path=path)
    version = output([helm, "version", "--short"]) if helm else None
    wanted = [] if version is not None and version.startswith("v3") else [HELM]
    return wanted if shutil.which("kubectl", path=path) else [*wanted, KUBECTL]


def module_folder(tool: Tool) -> Path:
    """Where the unpacked source of a tool's module lies.

    Raises:
        ClusterError: it is not there, and could not be fetched.
    """
    source = f"{tool.source}@{tool.version(MODULES)}"
    text = output(["go", "mod", "download", "-C", str(MODULES / tool.module), "-json", source], env=GO_ENVIRONMENT)
    if text is None:
        raise ClusterError(f"{source}: could not be fetched", hint=f"try `go mod download {source}` by hand")
    return Path(json.loads(text)["Dir"])


def _go_version() -> str:
    version = output(["go", "env", "GOVERSION", "GOOS", "GOARCH"], env=GO_ENVIRONMENT)
    if version is None:
        raise ClusterError(
            "go: not found on this machine; the local cluster is built from Go modules",
            hint="install Go 1.26 or newer; or name a cluster in ATTUNE_CONTEXT; or start docker and install kind",
        )
    return version


def _build(layout: Layout, tool: Tool, target: Path, prefix: str) -> None:
    log = layout.logs / f"build-{tool.name}.log"
    unfinished = layout.binaries / f".{target.parent.name}-{tool.name}"
    title = f"building {tool.name} {tool.version(MODULES)}".rstrip()
    hint = f"see {log}; run the same command again after mending it: finished programs are kept"
    with Step(title, prefix=prefix):
        run(command(tool, MODULES, unfinished), log=log, hint=hint, env=GO_ENVIRONMENT)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished.replace(target)


def _forget_unused(binaries: Path) -> None:
    """Delete builds that no checkout has asked for in two weeks."""
    for folder in binaries.iterdir():
        if folder.is_dir() and time.time() - folder.stat().st_mtime > UNUSED_FOR_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
