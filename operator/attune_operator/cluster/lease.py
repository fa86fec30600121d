"""Leadership by a Lease: one operator works, others stand by. Losing it ends the process.

The rules are client-go's `leaderelection`: a Lease counts as abandoned once its renewal has not changed for its
duration, by the clock of whoever looks, so that clocks need not agree; a holder that cannot renew within a shorter
deadline gives up before anybody else may take over. It saves work and noise; it is not what keeps runs safe, for every
write is guarded by resourceVersion and every child by its name (docs/decisions/0004).
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from attune_operator.cluster.client import Kube, path_to
from attune_operator.errors import AlreadyExistsError, APIError, ConflictError, NotFoundError

JSON = dict[str, Any]
NAME = "attune"
API = "coordination.k8s.io/v1"
DURATION_SECONDS = 30
DEADLINE_SECONDS = 20.0
RETRY_SECONDS = 4.0
log = logging.getLogger("attune")


class Leadership:
    """Who leads, as far as this process knows.

    Args:
        client: the API server.
        namespace: where the Lease is.
        identity: of this process; the same as before it was started anew in the same pod, so that it goes on at once.
        clock: seconds that only grow.
    """

    def __init__(self, client: Kube, namespace: str, identity: str, clock: Callable[[], float]) -> None:
        self._client = client
        self._namespace = namespace
        self._identity = identity
        self._clock = clock
        self._seen: tuple[str, float] = ("", clock())

    async def acquire(self, alive: Callable[[], None]) -> None:
        """Waits until this process leads.

        Args:
            alive: told at every try, for liveness: standing by is what a second operator is for.
        """
        waiting = False
        while not await self._tried():
            if not waiting:
                log.info("standing by: %s leads", self._holder or "nobody yet")
                waiting = True
            alive()
            await asyncio.sleep(RETRY_SECONDS)
        log.info("leading as %s", self._identity)

    async def keep(self, lost: Callable[[], None]) -> None:
        """Renews for ever, and calls `lost` once that has not been possible for too long, or another leads."""
        renewed = self._clock()
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            asked = self._clock()
            try:
                held = await self._tried()
            except Exception:
                # A keeper that dies would leave two at work without a word; one that cannot renew gives up in time.
                log.exception("the Lease %s/%s could not be renewed", self._namespace, NAME)
                held = False
            if held:
                renewed = asked
            elif self._holder not in ("", self._identity):
                log.error("the Lease %s/%s was taken by %s", self._namespace, NAME, self._holder)
                lost()
                return
            elif self._clock() - renewed > DEADLINE_SECONDS:
                log.error("the Lease %s/%s was lost; another operator may lead now", self._namespace, NAME)
                lost()
                return

    @property
    def _holder(self) -> str:
        """Who held the Lease when it was last read."""
        return self._seen[0].partition("|")[0]

    async def release(self) -> None:
        """Gives the Lease up, so that another need not wait for its end."""
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                found = await self._client.get(self._path(NAME))
                if found.get("spec", {}).get("holderIdentity") == self._identity:
                    await self._client.replace(
                        self._path(NAME), {**found, "spec": {**found["spec"], "holderIdentity": ""}}
                    )
        except (APIError, TimeoutError) as error:
            log.info("the Lease was not given up: %r", error)

    async def _tried(self) -> bool:
        """One try to take or renew the Lease; whether this process leads now."""
        try:
            async with asyncio.timeout(RETRY_SECONDS):
                return await self._take()
        except (AlreadyExistsError, ConflictError):
            return False  # somebody was faster
        except (APIError, TimeoutError) as error:
            log.warning("the Lease %s/%s: %r", self._namespace, NAME, error)
            return False

    async def _take(self) -> bool:
        try:
            found = await self._client.get(self._path(NAME))
        except NotFoundError:
            body = {"apiVersion": API, "kind": "Lease", "metadata": {"name": NAME, "namespace": self._namespace}}
            mine = self._spec({})
            await self._client.create(self._path(), {**body, "spec": mine})
            self._note(mine)
            return True
        spec = found.get("spec", {})
        if not self._may_take(spec):
            return False
        mine = self._spec(spec)
        await self._client.replace(self._path(NAME), {**found, "spec": mine})
        self._note(mine)
        return True

    def _may_take(self, spec: JSON) -> bool:
        self._note(spec)
        expired = self._clock() - self._seen[1] > spec.get("leaseDurationSeconds", DURATION_SECONDS)
        return self._holder in ("", self._identity) or expired

    def _note(self, spec: JSON) -> None:
        """Remembers who holds the Lease, and since when it has been as it is."""
        state = f"{spec.get('holderIdentity') or ''}|{spec.get('renewTime')}"
        if state != self._seen[0]:
            self._seen = (state, self._clock())

    def _spec(self, before: JSON) -> JSON:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        mine = before.get("holderIdentity") == self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": DURATION_SECONDS,
            "renewTime": now,
            "acquireTime": before.get("acquireTime", now) if mine else now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (not mine),
        }

    def _path(self, name: str | None = None) -> str:
        return path_to(API, "leases", self._namespace, name)
