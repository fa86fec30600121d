from __future__ import annotations

from pathlib import Path

import pytest

from attune_devcluster import existing
from attune_devcluster.choose import Kind, choose
from attune_devcluster.errors import ClusterError
from attune_devcluster.paths import Layout


@pytest.mark.parametrize(
    ("environment", "kind_installed", "docker_runs", "expected"),
    [
        pytest.param({"ATTUNE_CONTEXT": "prod"}, True, True, Kind.CONTEXT, id="a named context wins"),
        pytest.param({"ATTUNE_CONTEXT": ""}, True, True, Kind.KIND, id="an empty name is no name"),
        pytest.param({}, True, True, Kind.KIND, id="kind where docker runs"),
        pytest.param({}, True, False, Kind.DEVCLUSTER, id="kind without a docker daemon is no use"),
        pytest.param({}, False, True, Kind.DEVCLUSTER, id="docker without kind is no use"),
    ],
)
def test_first_open_way_is_taken(
    environment: dict[str, str], kind_installed: bool, docker_runs: bool, expected: Kind
) -> None:
    assert choose(environment, lambda: kind_installed, lambda: docker_runs) is expected


def test_docker_is_not_asked_for_where_kind_is_missing() -> None:
    def never() -> bool:
        raise AssertionError

    assert choose({}, lambda: False, never) is Kind.DEVCLUSTER


def test_an_existing_cluster_names_everything_that_is_missing_at_once() -> None:
    with pytest.raises(ClusterError) as caught:
        existing.must_be_described({"ATTUNE_CONTEXT": "prod", "ATTUNE_S3_ENDPOINT": "http://10.0.0.7:9000"})
    text = caught.value.render()
    assert [name for name in existing.NEEDED if name in text] == [
        "ATTUNE_REGISTRY",
        "ATTUNE_S3_ACCESS_KEY_ID",
        "ATTUNE_S3_SECRET_ACCESS_KEY",
    ]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({"ATTUNE_CACHE": "/a/b", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/a/b", id="ATTUNE_CACHE"),
        pytest.param({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/attune", id="XDG_CACHE_HOME"),
        pytest.param({"HOME": "/h"}, "/h/.cache/attune", id="HOME"),
    ],
)
def test_cache_root(environment: dict[str, str], expected: str) -> None:
    assert Layout.from_environment(environment).cache == Path(expected)


def test_cache_root_is_absolute_because_the_kubelet_refuses_a_relative_one() -> None:
    assert Layout.from_environment({"ATTUNE_CACHE": "here"}).cache == Path.cwd() / "here"
