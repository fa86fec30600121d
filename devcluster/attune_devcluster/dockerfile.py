"""Reads from a Dockerfile which files of the build context decide what a target will be."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field


@dataclass
class Stage:
    """One `FROM` with what it takes from elsewhere."""

    name: str
    base: str
    sources: list[str] = field(default_factory=list)
    stages: list[str] = field(default_factory=list)


def sources(text: str, target: str | None) -> list[str]:
    """Paths and globs of the build context that the target, and the stages that it builds on, copy or mount.

    Args:
        text: the Dockerfile.
        target: a stage's name; None for the last one.

    Raises:
        LookupError: the target is not there.
    """
    stages = parse(text)
    known = {stage.name: stage for stage in stages}
    first = stages[-1].name if target is None and stages else target
    if first is None or first not in known:
        raise LookupError(f"no stage {target!r}; there are: {', '.join(known) or 'none'}")
    found: list[str] = []
    todo, seen = [first], set()
    while todo:
        name = todo.pop()
        if name in known and name not in seen:
            seen.add(name)
            found += known[name].sources
            todo += [known[name].base, *known[name].stages]
    return sorted(set(found))


def parse(text: str) -> list[Stage]:
    """The stages in their order; one without a name gets its number (https://docs.docker.com/reference/dockerfile/)."""
    stages: list[Stage] = []
    for instruction, rest in _instructions(text):
        words = shlex.split(rest) if not rest.startswith("[") else []
        options = dict(_option(word) for word in words if word.startswith("--"))
        plain = [word for word in words if not word.startswith("--")] or (
            json.loads(rest) if rest.startswith("[") else []
        )
        if instruction == "FROM":
            named = len(plain) == 3 and plain[1].upper() == "AS"  # noqa: PLR2004  FROM image AS name
            stages.append(Stage(plain[2] if named else str(len(stages)), plain[0]))
        elif instruction in {"COPY", "ADD"} and stages:
            if "from" in options:
                stages[-1].stages.append(options["from"])
            else:
                stages[-1].sources += plain[:-1]
        elif instruction == "RUN" and stages:
            _mounts(stages[-1], rest)
    return stages


def _instructions(text: str) -> list[tuple[str, str]]:
    kept = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\s*\n", " ", "\n".join(kept))
    parts = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [(name.upper(), rest.strip()) for name, _, rest in parts]


def _option(word: str) -> tuple[str, str]:
    name, _, value = word.removeprefix("--").partition("=")
    return name, value


def _mounts(stage: Stage, rest: str) -> None:
    for mount in re.findall(r"--mount=(\S+)", rest):
        values = dict(_option(part) for part in mount.split(","))
        source = values.get("source", values.get("src"))
        if values.get("type", "bind") != "bind":
            continue
        if "from" in values:
            stage.stages.append(values["from"])
        elif source is not None:
            stage.sources.append(source)
