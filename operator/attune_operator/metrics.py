"""What Prometheus sees of the operator, on `/metrics`."""

from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from attune_operator.api.finetunejob import FineTuneJobStatus
from attune_operator.workqueue import Key

_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 5, 30)


class Metrics:
    """The operator's own figures. One instance per process, over one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._phases: dict[Key, str] = {}
        self._jobs = Gauge("attune_finetunejobs", "FineTuneJobs by phase.", ["phase"], registry=registry)
        self._ended = Counter(
            "attune_finetunejobs_ended_total", "Runs that ended, by result.", ["result"], registry=registry
        )
        self._requests = Counter(
            "attune_api_requests_total", "Requests to the API server.", ["verb", "resource"], registry=registry
        )
        self.reconcile_seconds = Histogram(
            "attune_reconcile_seconds", "Time of one reconcile.", buckets=_BUCKETS, registry=registry
        )
        self.reconcile_errors = Counter(
            "attune_reconcile_errors_total", "Reconciles that failed.", ["error"], registry=registry
        )
        self._depth = Gauge("attune_workqueue_depth", "Keys that wait.", registry=registry)
        self.resync_timestamp = Gauge(
            "attune_last_resync_timestamp_seconds", "Unix time of the last complete resync.", registry=registry
        )

    def watch_depth(self, depth: Callable[[], int]) -> None:
        """Reads the queue's depth whenever it is scraped."""
        self._depth.set_function(depth)

    def request(self, verb: str, resource: str) -> None:
        """Counts a request to the API server."""
        self._requests.labels(verb, resource).inc()

    def timed(self, reconcile: Callable[[Key], Awaitable[float | None]]) -> Callable[[Key], Awaitable[float | None]]:
        """The same reconcile, with its time observed."""

        async def step(key: Key) -> float | None:
            with self.reconcile_seconds.time():
                return await reconcile(key)

        return step

    def keys(self) -> set[Key]:
        """Runs that are counted."""
        return set(self._phases)

    def __contains__(self, key: Key) -> bool:
        return key in self._phases

    def seen(self, key: Key, phase: str) -> None:
        """Counts a run that had ended before this operator first saw it."""
        self._phases[key] = phase
        self._jobs.labels(phase).inc()

    def record(self, key: Key, status: FineTuneJobStatus) -> None:
        """Notes the phase of a run, and its end if it is new."""
        phase, before = str(status.phase or "Pending"), self._phases.get(key)
        if phase == before:
            return
        self._phases[key] = phase
        self._jobs.labels(phase).inc()
        if before is not None:
            self._jobs.labels(before).dec()
            if status.completion_time:
                self._ended.labels(phase).inc()

    def forget(self, key: Key) -> None:
        """Drops a run that is gone."""
        if (before := self._phases.pop(key, None)) is not None:
            self._jobs.labels(before).dec()
