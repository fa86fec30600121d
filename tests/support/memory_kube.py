"""An API server of a few lines, in memory: for unit tests of what talks to one. The real one is tested on a cluster."""

import asyncio
import copy
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from attune_operator.errors import AlreadyExistsError, APIError, ConflictError, NotFoundError

JSON = dict[str, Any]
COLLECTIONS = (
    *("jobs", "pods", "workloads", "events", "namespaces"),
    *("finetunejobs", "finetuneschedules", "clusterfinetuneschedules", "tunedmodels"),
)


class MemoryKube:
    """Has the methods of `attune_operator.cluster.client.Kube`, and remembers every write.

    Objects are kept by path. Every write counts up resourceVersion, and one with an old version is refused. `broken`
    says which writes fail, and how: the error by `VERB path`. `old` holds what reads of a path are told instead.
    """

    def __init__(self, **objects: JSON) -> None:
        self.objects: dict[str, JSON] = {}
        self.writes: list[tuple[str, str]] = []
        self.deleted: list[tuple[str, str]] = []
        self.broken: dict[str, APIError] = {}
        self.old: dict[str, JSON] = {}
        self._versions = 0
        for path, body in objects.items():
            self.put(path, body)

    def put(self, path: str, body: JSON) -> None:
        """Stores an object as if somebody else had written it."""
        self._versions += 1
        meta = {**body.get("metadata", {}), "resourceVersion": str(self._versions)}
        self.objects[path] = {**copy.deepcopy(body), "metadata": meta}

    async def get(self, path: str) -> JSON:
        """One object, or those below a collection that have the labels asked for."""
        await asyncio.sleep(0)  # others may come in between
        parts = urlsplit(path)
        if parts.path in self.old:
            return copy.deepcopy(self.old[parts.path])
        if parts.path in self.objects:
            return copy.deepcopy(self.objects[parts.path])
        if parts.path.rpartition("/")[2] in COLLECTIONS:
            return {"items": [copy.deepcopy(o) for o in self._below(parts.path, parse_qs(parts.query))]}
        raise NotFoundError(path)

    async def create(self, path: str, body: JSON) -> JSON:
        """Stores a new object below a collection, with a UID and the time as the API server gives them."""
        name = f"{path}/{body['metadata']['name']}"
        self._written("POST", name)
        if name in self.objects:
            raise AlreadyExistsError(name)
        given = {"uid": f"uid of {name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.put(name, {**body, "metadata": {**given, **body["metadata"]}})
        return copy.deepcopy(self.objects[name])

    async def replace(self, path: str, body: JSON) -> JSON:
        """Stores an object, or its status, if its version is the newest."""
        self._written("PUT", path)
        stored = path.removesuffix("/status")
        self._demand(stored, body["metadata"])
        self.put(stored, body if stored == path else {**self.objects[stored], "status": body["status"]})
        return copy.deepcopy(self.objects[stored])

    async def patch(self, path: str, body: JSON) -> JSON:
        """Merges metadata; an object that is being deleted and has no finalizer left is gone."""
        self._written("PATCH", path)
        self._demand(path, body["metadata"])
        changed = {**self.objects[path], "metadata": _merged(self.objects[path]["metadata"], body["metadata"])}
        self.put(path, changed)
        answer = self.objects[path]
        if "deletionTimestamp" in answer["metadata"] and not answer["metadata"].get("finalizers"):
            del self.objects[path]
        return copy.deepcopy(answer)

    async def delete(self, path: str, uid: str, *, foreground: bool = True, at_once: bool = False) -> None:
        """Removes an object; how it was asked for is in the record of writes."""
        how = "at once" if at_once else "foreground" if foreground else "background"
        self._written("DELETE", path)
        self.deleted.append((path, how))
        if path not in self.objects:
            raise NotFoundError(path)
        assert self.objects[path]["metadata"]["uid"] == uid
        del self.objects[path]

    def _written(self, verb: str, path: str) -> None:
        self.writes.append((verb, path))
        if error := next((e for key, e in self.broken.items() if f"{verb} {path}".startswith(key)), None):
            raise error

    def _demand(self, path: str, metadata: JSON) -> None:
        if path not in self.objects:
            raise NotFoundError(path)
        if metadata["resourceVersion"] != self.objects[path]["metadata"]["resourceVersion"]:
            raise ConflictError(path)

    def _below(self, path: str, query: dict[str, list[str]]) -> list[JSON]:
        wanted = dict(pair.split("=") for pair in query.get("labelSelector", [""])[0].split(",") if pair)
        return [
            o
            for p, o in self.objects.items()
            if path in (p.rpartition("/")[0], _everywhere(p))
            and wanted.items() <= o["metadata"].get("labels", {}).items()
        ]


def _everywhere(path: str) -> str:
    """The collection of all namespaces that an object is in."""
    return re.sub(r"/namespaces/[^/]+/([^/]+)/[^/]+$", r"/\1", path)


def _merged(stored: JSON, change: JSON) -> JSON:
    """A merge patch (RFC 7396): null removes a field."""
    made = dict(stored)
    for key, value in change.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = _merged(made.get(key, {}), value) if isinstance(value, dict) else value
    return made
