"""What the door to the API server makes of its answers."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import client as kube

from attune_operator.cluster.client import Kube
from attune_operator.errors import APIError, ConflictError, UnavailableError


async def answer(status: int, headers: dict[str, str]) -> APIError:
    """The error that an answer of the API server becomes."""

    async def respond(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "message": "too many requests"}, status=status, headers=headers)

    application = web.Application()
    application.router.add_get("/api/v1/pods", respond)
    async with (
        TestServer(application) as server,
        kube.ApiClient(kube.Configuration(host=str(server.make_url("")))) as api,
    ):
        with pytest.raises(APIError) as caught:
            await Kube(api, lambda *_: None).get("/api/v1/pods")
    return caught.value


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
