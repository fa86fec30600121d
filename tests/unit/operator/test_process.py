"""The operator's process ends where it cannot go on watching: it never hangs, and says why."""

import asyncio
import logging
import os
import sys
import threading
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port

from attune_operator.process import WATCHING_FAILED, until_over

RESOURCES = {
    "/api/v1": [("pods", "Pod", True), ("namespaces", "Namespace", False)],
    "/apis/batch/v1": [("jobs", "Job", True)],
    "/apis/attune.dev/v1alpha1": [("finetunejobs", "FineTuneJob", True), ("tuningruntimes", "TuningRuntime", False)],
}
KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
clusters: [{{name: test, cluster: {{server: "{server}"}}}}]
users: [{{name: test, user: {{token: nothing}}}}]
"""


async def forever() -> None:
    await asyncio.Event().wait()


async def stopped() -> None:
    """What kopf's own task does that waits for SIGTERM."""


async def refused() -> None:
    raise RuntimeError("410 Expired")


async def in_good_order() -> None:
    """Everything else ends."""


@pytest.mark.parametrize(
    ("first", "teardown", "code", "says"),
    [
        pytest.param(stopped, in_good_order, 0, "", id="told to stop"),
        pytest.param(refused, in_good_order, WATCHING_FAILED, "410 Expired", id="a watcher failed"),
        pytest.param(stopped, refused, WATCHING_FAILED, "while it was ending", id="told to stop, and failed at it"),
    ],
)
async def test_how_the_process_ends(
    first: object, teardown: object, code: int, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    tasks = [asyncio.create_task(forever()), asyncio.create_task(first())]  # type: ignore[operator]
    with caplog.at_level(logging.ERROR, "attune"):
        assert await until_over(tasks, teardown, 60) == code  # type: ignore[arg-type]
    assert says in caplog.text
    assert bool(caplog.text) is bool(says)
    tasks[0].cancel()


@pytest.mark.parametrize(("first", "code"), [(stopped, 0), (refused, WATCHING_FAILED)], ids=["told to stop", "failed"])
async def test_what_does_not_end_by_itself_is_cut_off(first: object, code: int) -> None:
    left: list[int] = []
    cut = threading.Event()

    def leave(with_code: int) -> None:
        left.append(with_code)
        cut.set()

    tasks = [asyncio.create_task(forever()), asyncio.create_task(first())]  # type: ignore[operator]
    hanging = asyncio.create_task(until_over(tasks, forever, 0.05, leave))
    assert await asyncio.to_thread(cut.wait, 10)
    assert left == [code]
    hanging.cancel()
    tasks[0].cancel()


@pytest.mark.parametrize(
    ("refused_watch", "code", "says"),
    [
        pytest.param(True, WATCHING_FAILED, ["cannot go on watching", "too old resource version"], id="refused"),
        pytest.param(False, 0, [], id="told to stop"),
    ],
)
async def test_the_operator_ends_though_its_other_watches_are_open(
    tmp_path: Path, refused_watch: bool, code: int, says: list[str]
) -> None:
    """With the real kopf, which could wait for those for ever."""
    watching = asyncio.Event()
    async with TestServer(_api_server(watching, refused_watch)) as server:
        config = tmp_path / "kubeconfig"
        config.write_text(KUBECONFIG.format(server=str(server.make_url("")).rstrip("/")), encoding="utf-8")
        settings = {"ATTUNE_HTTP_PORT": str(unused_port()), "ATTUNE_DRAIN_SECONDS": "1"}
        operator = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "attune_operator"),
            env={**os.environ, **settings, "KUBECONFIG": str(config)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            await asyncio.wait_for(watching.wait(), 60)
            if not refused_watch:
                operator.terminate()
            out, _ = await asyncio.wait_for(operator.communicate(), 60)
        finally:
            if operator.returncode is None:
                operator.kill()
    said = out.decode()
    assert operator.returncode == code, said
    assert all(words in said for words in says)


def _api_server(watching: asyncio.Event, refused_watch: bool) -> web.Application:
    """Lists nothing, and lets everything be watched; perhaps answers 410 when a watch of FineTuneJobs is opened.

    Args:
        watching: set once it is opened.
        refused_watch: whether it is answered with 410.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        path = request.path.rstrip("/")
        if path in RESOURCES:
            return web.json_response({"kind": "APIResourceList", "resources": [_resource(*r) for r in RESOURCES[path]]})
        if path in ("/api", "/apis"):
            return web.json_response({"versions": ["v1"]} if path == "/api" else {"groups": _groups()})
        if "watch" not in request.query:
            return web.json_response({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": []})
        if path.endswith("finetunejobs"):
            await asyncio.sleep(0.5)  # the others are open by then
            watching.set()
        if path.endswith("finetunejobs") and refused_watch:
            gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
            return web.json_response(gone, status=410)
        stream = web.StreamResponse()
        await stream.prepare(request)
        await asyncio.sleep(3600)
        return stream

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    return app


def _resource(plural: str, kind: str, namespaced: bool) -> dict[str, object]:
    verbs = ["get", "list", "watch", "patch"]
    return {"name": plural, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": verbs}


def _groups() -> list[dict[str, object]]:
    named = [path.split("/")[2:] for path in RESOURCES if path.startswith("/apis")]
    versions = [{"groupVersion": f"{group}/{version}", "version": version} for group, version in named]
    return [
        {"name": group, "versions": [v], "preferredVersion": v} for (group, _), v in zip(named, versions, strict=True)
    ]
