"""Fixtures of tests against a real cluster: the cluster, a bucket with a base model, a namespace for each test."""

import os
import shlex
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from clusters import Cluster, Team

ROOT = Path(__file__).resolve().parents[1]


TOGETHER = {
    "runs": ("test_methods", "test_examples", "test_evaluation", "test_good_path", "test_preflight"),
    "own control plane": (
        "test_operator_killed",
        "test_api_faults",
        "test_operators_in_peril",
        "test_nodes",
        "test_long_service",
    ),
}
"""Modules on the cluster whose tests follow one another. Those of all others do so too, as they stop its operator, or
change what it finds: the first ones can be beside them, since a run minds neither."""


class Apart(LoadScopeScheduling):  # type: ignore[misc]  # xdist's types do not reach here
    """Shares tests out one by one, but those that need a cluster by what they do to it."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        if not path.startswith(("tests/cluster/", "tests/faults/")):
            return nodeid
        return next((name for name, modules in TOGETHER.items() if Path(path).stem in modules), "cluster")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """How `make test` shares tests out to its processes."""
    return Apart(config, log)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "devcluster")}
    command = [sys.executable, "-m", "attune_devcluster", "env"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        pytest.fail(f"these tests need a cluster: make install\n{done.stderr}")
    pairs = (line.removeprefix("export ").partition("=") for line in done.stdout.splitlines())
    return Cluster({name: "".join(shlex.split(value)) for name, _, value in pairs})


@pytest.fixture(scope="session")
def bucket(cluster: Cluster) -> str:
    """A bucket of this session, with the tiny base model at `base/`."""
    name = f"attune-test-{uuid.uuid4().hex[:8]}"
    cluster.s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def base_model(cluster: Cluster, bucket: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a tiny Llama, made here with its own tokenizer; random weights."""
    folder = tmp_path_factory.mktemp("base")
    subprocess.run([sys.executable, str(ROOT / "tests" / "support" / "tiny_model.py"), str(folder)], check=True)
    for path in sorted(folder.iterdir()):
        cluster.s3.upload_file(str(path), bucket, f"base/{path.name}")
    return f"s3://{bucket}/base"


@pytest.fixture
def team(cluster: Cluster, bucket: str, base_model: str) -> Iterator[Team]:
    """A fresh namespace that enforces the restricted pod security standard; gone after the test."""
    name = f"team-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    cluster.apply(cluster.secret(name))
    yield Team(cluster, name, bucket, base_model)
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def runtime(team: Team) -> Iterator[Callable[..., str]]:
    """Makes TuningRuntimes like the default one but for what is named; they go with the test."""
    made: set[str] = set()
    base = team.cluster.get("tuningruntime", name="default")["spec"]

    def make(name: str, **spec: Any) -> str:
        full = f"{name}-{team.namespace}"
        body = {"apiVersion": "attune.dev/v1alpha1", "kind": "TuningRuntime", "metadata": {"name": full}}
        team.cluster.apply({**body, "spec": {**base, **spec}})
        made.add(full)
        return full

    yield make
    for name in made:
        team.cluster.kubectl("delete", "tuningruntime", name, "--ignore-not-found")
