from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from attune_devcluster.build import cache_key, command
from attune_devcluster.paths import MODULES
from attune_devcluster.tools import CLUSTER_TOOLS, HELM, KUBECTL, KUEUE, KWOK, Tool

TOOL = Tool("thing", "thing", "example.com/thing/cmd/thing", "example.com/thing")
GO = "go1.26.8\nlinux\namd64\n"


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    folder = tmp_path / "thing"
    folder.mkdir()
    (folder / "go.mod").write_text("module x\n\nrequire example.com/thing v1.2.3\n")
    (folder / "go.sum").write_text("example.com/thing v1.2.3 h1:abc=\n")
    (folder / "main.go").write_text("package main\n")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text"),
    [
        pytest.param("go.mod", "module x\n\nrequire example.com/thing v1.2.4\n", id="version"),
        pytest.param("go.sum", "example.com/thing v1.2.3 h1:abd=\n", id="checksum"),
        pytest.param("main.go", "package main // else\n", id="source"),
    ],
)
def test_key_changes_with_the_module(modules: Path, file: str, text: str) -> None:
    before = cache_key(TOOL, modules, GO)
    (modules / "thing" / file).write_text(text)
    assert cache_key(TOOL, modules, GO) != before


@pytest.mark.parametrize(
    "tool",
    [
        pytest.param(replace(TOOL, package="."), id="package"),
        pytest.param(replace(TOOL, tags=("netgo",)), id="tags"),
        pytest.param(replace(TOOL, name="other"), id="name"),
    ],
)
def test_key_changes_with_the_tool(modules: Path, tool: Tool) -> None:
    assert cache_key(tool, modules, GO) != cache_key(TOOL, modules, GO)


def test_key_changes_with_the_compiler(modules: Path) -> None:
    assert cache_key(TOOL, modules, GO) != cache_key(TOOL, modules, "go1.27\nlinux\namd64\n")


def test_key_stays_when_only_other_files_change(modules: Path) -> None:
    before = cache_key(TOOL, modules, GO)
    (modules / "thing" / "README.md").write_text("words")
    assert cache_key(TOOL, modules, GO) == before


def test_command_names_module_tags_and_target(modules: Path) -> None:
    line = command(replace(TOOL, tags=("a", "b")), modules, Path("/out/thing"))
    assert line == [
        *("go", "build", "-C", str(modules / "thing"), "-trimpath", "-tags=a,b", "-ldflags=-s -w"),
        *("-o", "/out/thing", "example.com/thing/cmd/thing"),
    ]


@pytest.mark.parametrize("tool", [*CLUSTER_TOOLS, HELM, KUBECTL, KUEUE, KWOK], ids=lambda tool: tool.name)
def test_every_tool_has_a_module_with_checksums_and_a_version(tool: Tool) -> None:
    assert tool.version(MODULES).startswith("v") or not tool.source
    assert (MODULES / tool.module / "go.sum").exists() or not tool.source


def test_kubernetes_learns_its_version() -> None:
    flags = KUBECTL.linker_flags(MODULES)
    assert f"version.gitVersion={KUBECTL.version(MODULES)}" in flags
    assert "version.gitMajor=1 " in flags


def test_a_version_that_go_mod_does_not_name_is_an_error(modules: Path) -> None:
    with pytest.raises(LookupError, match=r"go\.mod: no version of example\.com/other"):
        replace(TOOL, source="example.com/other").version(modules)
