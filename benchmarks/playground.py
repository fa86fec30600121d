"""A control plane alone with what Attune needs in it: CRDs, a runtime, fake nodes; pods end with recorded Outcomes."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import yaml
from benchmarks.apiserver import APIServer, BenchError, connect
from benchmarks.manifests import node, runtime
from benchmarks.played import stages
from benchmarks.scene import NODES, NODES_PATH, RUNTIMES_PATH

from attune_contract.enums import Stage
from attune_devcluster.alone import Alone, control_plane_alone
from attune_devcluster.kube_api import CONTEXT
from attune_devcluster.paths import REPOSITORY, Layout

CRDS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SERVED_SECONDS = 30
RUN_FOR = {Stage.PREFLIGHT: "400ms", Stage.TRAIN: "600ms", Stage.EVALUATE: "400ms", Stage.PUBLISH: "300ms"}
"""Long enough for everything that a real pod passes through to be seen, short enough for hundreds of runs."""


@contextmanager
def playground(
    folder: Path,
    environment: Mapping[str, str],
    run_for: Mapping[Stage, str] = RUN_FOR,
    train_for: Mapping[str, str] | None = None,
) -> Iterator[Alone]:
    """A control plane of one's own, ready for FineTuneJobs of `benchmarks.manifests`.

    Args:
        folder: for its data; its owner removes it.
        environment: of this process.
        run_for: how long the pods of each stage run.
        train_for: how long training takes instead for FineTuneJobs whose names hold a word.
    """
    cache = Layout.from_environment(environment)
    with control_plane_alone(cache, folder, environment, stages(run_for, train_for)) as alone:
        asyncio.run(_furnish(alone))
        yield alone


async def _furnish(alone: Alone) -> None:
    async with connect(str(alone.kubeconfig), CONTEXT) as api:
        for path in sorted((REPOSITORY / "crds").glob("*.yaml")):
            await api.post(CRDS_PATH, json.dumps(yaml.safe_load(path.read_text())).encode())
        for name in NODES:
            await api.post(NODES_PATH, node(name))
        await _served(api)
        await api.post(RUNTIMES_PATH, runtime())


async def _served(api: APIServer) -> None:
    deadline = time.monotonic() + SERVED_SECONDS
    for path in ("/apis/attune.dev/v1alpha1/finetunejobs", RUNTIMES_PATH):
        while True:
            try:
                await api.get(path)
                break
            except BenchError:  # 404, then 429 while its storage is made
                if time.monotonic() > deadline:
                    raise
            await asyncio.sleep(0.2)
