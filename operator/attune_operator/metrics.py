"""What Prometheus sees of the operator, on `/metrics`."""

from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from attune_contract.outcome import ActualFigures, Estimate
from attune_contract.quantities import quantity, seconds
from attune_operator.api.finetunejob import FineTuneJobStatus
from attune_operator.workqueue import Key

_RATIOS = (0.25, 0.5, 0.75, 0.85, 0.95, 1.05, 1.15, 1.25, 1.5, 2, 4)
_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 5, 30)


class Metrics:
    """The operator's own figures. One instance per process, over one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        ProcessCollector(registry=registry)  # memory, CPU time and open files, under the names of every exporter
        self._phases: dict[Key, str] = {}
        self._jobs = Gauge("attune_finetunejobs", "FineTuneJobs by phase.", ["phase"], registry=registry)
        self._ended = Counter(
            "attune_finetunejobs_ended_total", "Runs that ended, by result.", ["result"], registry=registry
        )
        self._requests = Counter(
            "attune_api_requests_total", "Requests to the API server.", ["verb", "resource"], registry=registry
        )
        self._estimates = Histogram(
            "attune_estimate_ratio",
            "What training came to over the middle of its estimate, when it was done.",
            ["figure"],
            buckets=_RATIOS,
            registry=registry,
        )
        self._trained: set[Key] = set()
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
        self._compare(key, status.estimate, is_new=before is not None)
        if phase == before:
            return
        self._phases[key] = phase
        self._jobs.labels(phase).inc()
        if before is not None:
            self._jobs.labels(before).dec()
            if status.completion_time:
                self._ended.labels(phase).inc()

    def _compare(self, key: Key, estimate: Estimate | None, *, is_new: bool) -> None:
        """Observes how good an estimate was, once, when its training is done."""
        if estimate is None or estimate.actual is None or key in self._trained:
            return
        self._trained.add(key)
        for figure, ratio in _ratios(estimate, estimate.actual).items() if is_new else ():
            self._estimates.labels(figure).observe(ratio)

    def forget(self, key: Key) -> None:
        """Drops a run that is gone."""
        self._trained.discard(key)
        if (before := self._phases.pop(key, None)) is not None:
            self._jobs.labels(before).dec()


def _ratios(estimate: Estimate, actual: ActualFigures) -> dict[str, float]:
    """Actual over estimated, for each figure that both have and that is not nought."""
    found: dict[str, tuple[float, float]] = {}
    if estimate.duration:
        low, high = (seconds(text) for text in (estimate.duration.low, estimate.duration.high))
        found["duration"] = (seconds(actual.duration), (low + high) / 2)
    if estimate.cost and actual.cost:
        found["cost"] = (float(actual.cost), (float(estimate.cost.low) + float(estimate.cost.high)) / 2)
    if estimate.memory_per_gpu and actual.memory_per_gpu:
        found["memory"] = (float(quantity(actual.memory_per_gpu)), float(quantity(estimate.memory_per_gpu)))
    return {figure: came / expected for figure, (came, expected) in found.items() if expected}
