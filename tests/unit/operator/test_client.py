"""What the door to the API server makes of its answers."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import client as kube

from attune_operator.cluster.client import PAGE, Kube, pages
from attune_operator.errors import APIError, ConflictError, UnavailableError


async def answer(status: int, headers: dict[str, str]) -> APIError:
    """The error that an answer of the API server becomes."""

    async def respond(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "message": "too many requests"}, status=status, headers=headers)

    async with serving("/api/v1/pods", respond) as client:
        with pytest.raises(APIError) as caught:
            await client.get("/api/v1/pods")
    return caught.value


@asynccontextmanager
async def serving(path: str, respond: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[Kube]:
    """A client of a server that answers GET of one path."""
    application = web.Application()
    application.router.add_get(path, respond)
    async with (
        TestServer(application) as server,
        kube.ApiClient(kube.Configuration(host=str(server.make_url("")))) as api,
    ):
        yield Kube(api, lambda *_: None)


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        pytest.param(429, {"Retry-After": "7"}, 7, id="priority and fairness"),
        pytest.param(503, {"retry-after": "7"}, 7, id="starting"),
        pytest.param(503, {}, 0, id="not said for how long"),
        pytest.param(504, {"Retry-After": "soon"}, 0, id="no number"),
    ],
)
async def test_how_long_an_api_server_asks_to_be_left_in_peace_is_read(
    status: int, headers: dict[str, str], seconds: float
) -> None:
    error = await answer(status, headers)
    assert isinstance(error, UnavailableError)
    assert error.retry_after == seconds
    assert "too many requests" in str(error)


async def test_what_was_written_since_is_no_reason_to_wait() -> None:
    assert isinstance(await answer(409, {"Retry-After": "7"}), ConflictError)


async def test_a_long_list_is_asked_for_by_the_page() -> None:
    stored = [{"metadata": {"name": f"run-{number}"}} for number in range(2 * PAGE + 1)]
    asked: list[int] = []

    async def respond(request: web.Request) -> web.Response:
        asked.append(int(request.query["limit"]))
        start = int(request.query.get("continue", "0"))
        end = start + asked[-1]
        token = {"continue": str(end)} if end < len(stored) else {}
        return web.json_response({"metadata": token, "items": stored[start:end]})

    async with serving("/api/v1/pods", respond) as client:
        found = [item async for item in pages(client, lambda query: f"/api/v1/pods?{urlencode(query)}")]
    assert found == stored
    assert asked == [PAGE] * 3
