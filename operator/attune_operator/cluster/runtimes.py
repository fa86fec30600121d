"""TuningRuntimes, read at most every two seconds: all runs of a cluster ask for the same few.

A change is an event, which drops what is remembered before it wakes the runs that name the runtime.
"""

from collections.abc import Callable
from typing import NamedTuple

from attune_operator import naming
from attune_operator.api.problems import FieldProblem
from attune_operator.api.tuningruntime import TuningRuntime
from attune_operator.cluster import objects, observe
from attune_operator.cluster.client import Kube
from attune_operator.finetunejob.admission import Asked, refusal
from attune_operator.finetunejob.waiting import Hold
from attune_operator.workqueue import Key

FRESH_SECONDS = 2.0


class Found(NamedTuple):
    """A TuningRuntime as it was read."""

    runtime: TuningRuntime | None
    problems: tuple[FieldProblem, ...] = ()


class Runtimes:
    """Reads TuningRuntimes.

    Args:
        client: the API server.
        clock: seconds that only grow.
    """

    def __init__(self, client: Kube, clock: Callable[[], float]) -> None:
        self._client = client
        self._clock = clock
        self._known: dict[str, tuple[float, Found]] = {}

    async def find(self, name: str) -> Found:
        """The runtime of that name; nothing where there is none, which is never remembered."""
        known = self._known.get(name)
        if known is not None and self._clock() < known[0]:
            return known[1]
        asked = self._clock()
        raw = await objects.get(self._client, naming.RUNTIMES, Key("", name))
        found = Found(*TuningRuntime.parse(raw)) if raw else Found(None)
        if raw is not None:
            self._known[name] = (asked + FRESH_SECONDS, found)
        return found

    async def admitting(self, asked: Asked) -> tuple[TuningRuntime | None, Hold | None]:
        """The runtime that pods shall run on, where it takes them; else why it does not."""
        runtime, problems = await self.find(asked.runtime)
        labels = await observe.namespace_labels(self._client, runtime, asked.namespace)
        met = refusal(asked, runtime, problems, labels)
        return (runtime if met is None else None), met

    def forget(self, name: str) -> None:
        """Drops what is remembered of a runtime that changed."""
        self._known.pop(name, None)
