from __future__ import annotations

import os
from pathlib import Path

import pytest

from attune_devcluster import base_image, build_context, image_memory, images, prune
from attune_devcluster.addresses import REGISTRY
from attune_devcluster.errors import ClusterError
from attune_devcluster.image_memory import GENEROUS, TIGHT, Policy
from attune_devcluster.images import Base, Image
from attune_devcluster.registry_api import Manifest, frees_much

IMAGE = Image("thing", "thing/Dockerfile")
BASE = Base("python:3.11-slim", "sha256:1")
DAY = 24 * 3600.0


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in {
        "thing/Dockerfile": "FROM scratch\nCOPY thing/code /app\n",
        "thing/code/main.py": "print()\n",
        "thing/code/sub/more.py": "",
        "thing/code/__pycache__/main.cpython-311.pyc": "bytes",
        "other/file": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_only_files_that_the_dockerfile_copies_go_in(checkout: Path) -> None:
    paths = images.plan(IMAGE, BASE, checkout).paths
    assert paths == (Path("thing/code/main.py"), Path("thing/code/sub/more.py"))


@pytest.mark.parametrize(
    ("name", "text", "changes"),
    [
        pytest.param("thing/code/main.py", "print(1)\n", True, id="copied file"),
        pytest.param("thing/code/new.py", "", True, id="new file"),
        pytest.param("thing/Dockerfile", "FROM scratch\nCOPY thing/code /opt\n", True, id="Dockerfile"),
        pytest.param("other/file", "else", False, id="file that is not copied"),
        pytest.param("thing/code/__pycache__/x.pyc", "else", False, id="compiled file"),
    ],
)
def test_tag_changes_with_what_goes_in(checkout: Path, name: str, text: str, changes: bool) -> None:
    before = images.plan(IMAGE, BASE, checkout).tag
    (checkout / name).write_text(text)
    assert (images.plan(IMAGE, BASE, checkout).tag != before) is changes


def test_tag_changes_with_the_base_image(checkout: Path) -> None:
    assert images.plan(IMAGE, BASE, checkout).tag != images.plan(IMAGE, Base(BASE.name, "sha256:2"), checkout).tag


def test_tag_changes_when_a_file_becomes_executable(checkout: Path) -> None:
    before = images.plan(IMAGE, BASE, checkout).tag
    (checkout / "thing/code/main.py").chmod(0o755)
    assert images.plan(IMAGE, BASE, checkout).tag != before


def test_a_source_that_does_not_exist_is_an_error_that_names_it(checkout: Path) -> None:
    (checkout / "thing/Dockerfile").write_text("FROM scratch\nCOPY thing/absent /app\n")
    with pytest.raises(ClusterError, match="copies thing/absent, and there is no such file"):
        images.plan(IMAGE, BASE, checkout)


def test_laid_out_context_is_the_same_in_every_checkout(checkout: Path, tmp_path: Path) -> None:
    paths = images.plan(IMAGE, BASE, checkout).paths
    (checkout / paths[0]).chmod(0o600)
    target = tmp_path / "context"
    build_context.lay_out(checkout, paths, target)
    found = sorted(path.relative_to(target) for path in target.rglob("*") if path.is_file())
    assert found == list(paths)
    assert {path.stat().st_mtime for path in target.rglob("*")} == {build_context.FIXED_TIME}
    assert oct((target / paths[0]).stat().st_mode & 0o777) == "0o644"


def test_unknown_image_names_those_that_there_are() -> None:
    with pytest.raises(ClusterError) as caught:
        images.select(["operator", "trainr"])
    assert "no such image: trainr" in caught.value.render()
    assert "operator, data, trainer" in caught.value.render()


@pytest.mark.parametrize(
    ("kept", "ages_in_days", "in_use", "expected"),
    [
        pytest.param(GENEROUS, {"a": 9, "b": 8, "c": 7}, (), [], id="the newest three stay at any age"),
        pytest.param(GENEROUS, {"a": 9, "b": 8, "c": 7, "d": 6}, (), ["a"], id="an older one goes"),
        pytest.param(GENEROUS, {"a": 9, "b": 8, "c": 7, "d": 6}, ("a",), [], id="unless something names it"),
        pytest.param(GENEROUS, {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}, (), [], id="or it was asked for today"),
        pytest.param(TIGHT, {"a": 0.9, "b": 0.8, "c": 0.7}, ("a",), ["b"], id="when tight only the newest stays"),
    ],
)
def test_superfluous_versions(
    kept: Policy, ages_in_days: dict[str, float], in_use: tuple[str, ...], expected: list[str]
) -> None:
    now = 1e9
    tags = {tag: now - age * DAY for tag, age in ages_in_days.items()}
    assert image_memory.superfluous(tags, now=now, in_use=frozenset(in_use), kept=kept) == expected


@pytest.mark.parametrize(("free_gib", "expected"), [(100, GENEROUS), (15, GENEROUS), (14, TIGHT)])
def test_less_is_kept_on_a_full_disk(free_gib: int, expected: Policy) -> None:
    assert image_memory.policy(free_gib * 1024**3) == expected


def test_images_are_in_use_wherever_they_are_named() -> None:
    text = f"{REGISTRY}/attune/data:0a1b, image: {REGISTRY}/attune/trainer:ff@sha256:1, busybox:1"
    assert prune.references(text) == {f"{REGISTRY}/attune/data:0a1b", f"{REGISTRY}/attune/trainer:ff"}


@pytest.mark.parametrize(
    ("kept_layers", "expected"),
    [
        pytest.param({"libraries": 3_000_000_000}, False, id="only a layer of code is left over"),
        pytest.param({"other": 3_000_000_000}, True, id="the layer of libraries is left over"),
    ],
)
def test_garbage_is_collected_only_for_big_layers(kept_layers: dict[str, int], expected: bool) -> None:
    old = Manifest("attune/trainer", "old", "sha256:1", {"libraries": 3_000_000_000, "code": 40_000})
    new = Manifest("attune/trainer", "new", "sha256:2", kept_layers)
    assert frees_much([old], [new]) is expected


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        pytest.param("deb http://mirror.example/debian bookworm main", "http://mirror.example/debian", id="one line"),
        pytest.param("deb [arch=amd64] https://m.example/debian/ sid main", "https://m.example/debian", id="options"),
        pytest.param("Types: deb\nURIs: http://m.example/debian\n", "http://m.example/debian", id="deb822"),
        pytest.param("URIs: http://m.example/debian-security\n", None, id="the security archive alone is no mirror"),
        pytest.param("# deb http://m.example/debian bookworm main", None, id="comment"),
        pytest.param("deb http://archive.example/ubuntu jammy main", None, id="another distribution"),
    ],
)
def test_mirror_for_debootstrap(sources: str, expected: str | None) -> None:
    assert base_image.debian_mirror(sources) == expected


def test_versions_are_remembered_by_when_they_were_asked_for(tmp_path: Path) -> None:
    layout = images.Layout(tmp_path)
    image_memory.touch(layout, "trainer", "abc")
    os.utime(tmp_path / "images/versions/trainer/abc", (5, 5))
    assert image_memory.used(layout, "trainer") == {"abc": 5.0}
    image_memory.forget(layout, "trainer", "abc")
    assert image_memory.used(layout, "trainer") == {}
