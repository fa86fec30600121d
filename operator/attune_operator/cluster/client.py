"""A thin door to the API server over `kubernetes.aio`: JSON in, JSON out, errors translated.

The generated classes would turn every Pod into a tree of Python objects that we then read three fields of; at a
hundred Jobs a second that is most of the operator's CPU. Authentication, TLS and token refresh are the library's.
"""

import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import client as kube
from kubernetes.aio import config as kube_config

from attune_operator.cluster.failures import refusal

JSON = dict[str, Any]
REQUEST_SECONDS = 30
READS = frozenset({"GET"})
PAGE = 100
"""Objects asked for at a time where there may be thousands: a FineTuneJob that has ended is some 90 KB in memory."""


class Kube:
    """Requests to the API server.

    Args:
        api: a configured client of the `kubernetes` package.
        count: told the verb and kind of every request, for metrics.
    """

    def __init__(self, api: Any, count: Callable[[str, str], None]) -> None:
        self._api = api
        self._count = count

    async def get(self, path: str) -> JSON:
        """Reads one object, or a list. Raises NotFoundError and its siblings."""
        return await self._request("GET", path)

    async def create(self, path: str, body: JSON) -> JSON:
        """Creates an object. Raises AlreadyExistsError where one of that name is there."""
        return await self._request("POST", path, body)

    async def replace(self, path: str, body: JSON) -> JSON:
        """Writes an object whole. Raises ConflictError where its resourceVersion is no longer the newest."""
        return await self._request("PUT", path, body)

    async def patch(self, path: str, body: JSON) -> JSON:
        """Merges fields into an object, where null removes one.

        With its resourceVersion among them, a newer object raises ConflictError.
        """
        return await self._request("PATCH", path, body)

    async def delete(self, path: str, uid: str, *, foreground: bool = True, at_once: bool = False) -> None:
        """Deletes an object, only if it still is the one with this UID.

        Args:
            path: the object.
            uid: what its metadata.uid must be.
            foreground: it goes once its dependants are gone; else they go after it.
            at_once: without a grace period, though nobody knows that its containers ended.
        """
        options: JSON = {
            "preconditions": {"uid": uid},
            "propagationPolicy": "Foreground" if foreground else "Background",
        }
        if at_once:
            options["gracePeriodSeconds"] = 0
        await self._request("DELETE", path, options)

    async def _request(self, method: str, path: str, body: JSON | None = None) -> JSON:
        self._count(method, _kind(path))
        content = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Accept": "application/json", "Content-Type": content}
        try:
            # Without the body: it is plain JSON already, and the library would copy it leaf by leaf.
            verb, url, headers, *_ = await self._api.param_serialize(
                method, path, header_params=headers, auth_settings=["BearerToken"]
            )
            response = await self._api.call_api(verb, url, headers, body, _request_timeout=REQUEST_SECONDS)
            text = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise refusal(0, method, path, str(error) or type(error).__name__) from error
        if response.status >= 400:  # noqa: PLR2004 - HTTP
            wait = response.getheader("Retry-After", "")
            raise refusal(response.status, method, path, text.decode(errors="replace"), wait)
        try:
            answer: JSON = json.loads(text)
        except ValueError as error:  # cut off on its way, or from something before the API server
            raise refusal(0, method, path, f"the answer is no JSON: {error}") from error
        return answer


def path_to(
    api_version: str,
    plural: str,
    namespace: str | None = None,
    name: str | None = None,
    sub: str | None = None,
    **query: str,
) -> str:
    """The path of an object or a collection.

    Args:
        api_version: `v1`, or `group/version`.
        plural: the resource, such as `jobs`.
        namespace: left out for cluster-wide resources and lists over all namespaces.
        name: left out for collections.
        sub: a subresource, such as `status`.
        query: parameters, with camelCase names.
    """
    root = f"/api/{api_version}" if "/" not in api_version else f"/apis/{api_version}"
    parts = [root, *(["namespaces", quote(namespace)] if namespace else []), plural]
    parts += [quote(p) for p in (name, sub) if p]
    return "/".join(parts) + (f"?{urlencode(query)}" if query else "")


def _kind(path: str) -> str:
    """The resource that a path is about, for metrics: `jobs`, `finetunejobs/status`."""
    parts = path.partition("?")[0].strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[:1] == ["namespaces"] and len(parts) > 2:  # noqa: PLR2004 - namespaces/<name>/<plural>
        parts = parts[2:]
    return "/".join([parts[0], *parts[2:3]]) if parts else "discovery"


@asynccontextmanager
async def connect(count: Callable[[str, str], None]) -> AsyncIterator[Kube]:
    """Opens a client for the cluster that this process runs in, or that the kubeconfig names."""
    if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
        kube_config.load_incluster_config()
    else:
        await kube_config.load_kube_config()
    configuration = kube.Configuration.get_default_copy()
    configuration.connection_pool_maxsize = 64
    # aiohttp would look for proxies, and read ~/.netrc in a thread, before every request.
    configuration.client_session_kwargs = {"trust_env": False}
    async with kube.ApiClient(configuration) as api:
        yield Kube(api, count)


async def pages(client: Kube, path_for: Callable[[dict[str, str]], str]) -> AsyncIterator[JSON]:
    """All objects of a list, asked for by the page, so that no side ever holds a large cluster at once."""
    token = ""
    while True:
        answer = await client.get(path_for({"limit": str(PAGE), **({"continue": token} if token else {})}))
        token = answer.get("metadata", {}).get("continue", "")
        for item in answer.get("items", []):
            yield item
        if not token:
            return
        del answer  # not two pages at a time
