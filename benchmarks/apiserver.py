"""The bench's own door to the API server: raw requests and watches that cost little, for both sides share the cores."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from kubernetes.aio import client as kube
from kubernetes.aio import config as kube_config

JSON = dict[str, Any]
LONGEST_LINE = 2**21
"""Bytes of one watch event; etcd stores objects of 1.5 MiB at most."""
NOT_FOUND = 404


class BenchError(Exception):
    """The bench cannot go on; the message says why, and what to do."""


class APIServer:
    """Requests as an administrator.

    Args:
        session: with base URL, TLS and credentials.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def get(self, path: str, accept: str = "application/json") -> JSON:
        """Reads an object or a list.

        Args:
            path: with its query.
            accept: media type, where not the whole objects are wanted.
        """
        async with self._session.get(path, headers={"Accept": accept}) as answer:
            found: JSON = json.loads(_checked("GET", path, answer.status, await answer.text()))
        return found

    async def find(self, path: str) -> JSON | None:
        """Reads an object; None where it is not there."""
        async with self._session.get(path) as answer:
            text = await answer.text()
        if answer.status == NOT_FOUND:
            return None
        found: JSON = json.loads(_checked("GET", path, answer.status, text))
        return found

    async def text(self, path: str) -> str:
        """Reads what is not JSON, such as metrics through the pod proxy."""
        async with self._session.get(path) as answer:
            return _checked("GET", path, answer.status, await answer.text())

    async def post(self, path: str, body: bytes) -> None:
        """Creates an object from its JSON; serialized beforehand, so that it is not part of what is measured."""
        async with self._session.post(path, data=body) as answer:
            _checked("POST", path, answer.status, await answer.text())

    async def delete(self, path: str) -> None:
        """Deletes an object, its dependants after it; one that is gone already is fine."""
        async with self._session.delete(path, params={"propagationPolicy": "Background"}) as answer:
            text = await answer.text()
        if answer.status != NOT_FOUND:
            _checked("DELETE", path, answer.status, text)

    async def events(self, path: str, version: str, accept: str) -> AsyncIterator[JSON]:
        """Watch events as they come, from a resourceVersion on.

        Args:
            path: a collection.
            version: as in a list's metadata.
            accept: media type of the objects.
        """
        query = {"watch": "1", "resourceVersion": version}
        async with self._session.get(path, params=query, headers={"Accept": accept}) as answer:
            async for line in answer.content:
                event: JSON = json.loads(line)
                yield event


def _checked(method: str, path: str, status: int, text: str) -> str:
    if status >= 400:  # noqa: PLR2004 - HTTP
        raise BenchError(f"{method} {path}: HTTP {status}: {text[:500]}")
    return text


@asynccontextmanager
async def connect(kubeconfig: str, context: str) -> AsyncIterator[APIServer]:
    """Opens the door.

    Args:
        kubeconfig: path of the kubeconfig.
        context: which of its contexts.
    """
    found = kube.Configuration()
    await kube_config.load_kube_config(config_file=kubeconfig, context=context, client_configuration=found)
    tls = ssl.create_default_context(cafile=found.ssl_ca_cert)
    if found.cert_file:
        tls.load_cert_chain(found.cert_file, found.key_file)
    headers = {"Content-Type": "application/json"}
    if token := await found.get_api_key_with_prefix("BearerToken"):
        headers["Authorization"] = token
    async with aiohttp.ClientSession(
        found.host,
        headers=headers,
        connector=aiohttp.TCPConnector(ssl=tls, limit=0),
        timeout=aiohttp.ClientTimeout(sock_connect=10, total=None),
        read_bufsize=LONGEST_LINE,
    ) as session:
        yield APIServer(session)
