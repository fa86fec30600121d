"""One run on the real cluster that something is done to, and what must hold of it afterwards, whatever it was."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from attune_contract.quantities import seconds
from clusters import Team
from peril import podresults
from peril.diary import Diary
from peril.door import Door
from peril.podresults import PodRow, end_of, trainings
from peril.witness import is_over

JSON = dict[str, Any]
WHOLE = pytest.mark.skipif(os.environ.get("ATTUNE_FAULTS") != "all", reason="part of `make faults`")
"""Marks what takes too long for `make test`."""
LONG: JSON = {"maxSteps": 600, "batchSize": 16, "checkpoint": {"interval": "3s", "keep": 2}}
"""Half a minute and more, with a checkpoint every few seconds."""
LONGER: JSON = {**LONG, "maxSteps": 4000}
"""Some minutes: longer than a store is away."""
SLACK_SECONDS = 10.0
"""What a checkpoint may take beyond its interval on a machine with much else to do."""


@dataclass
class Trial:
    """A FineTuneJob and who watches it.

    Args:
        team: its namespace.
        diary: of its namespace.
    """

    team: Team
    diary: Diary
    name: str = "job"
    uid: str = ""
    since: float | None = None
    """When the fault was done, or was over; seconds since the epoch."""
    struck: int = 1
    """The attempt at training that it was done to."""
    interval: float = 600.0
    """Seconds between checkpoints, as the manifest asks for them."""

    def submit(self, **spec: Any) -> None:
        """Applies the FineTuneJob; training takes half a minute unless something else is asked for."""
        spec.setdefault("training", LONG)
        self.interval = seconds(spec["training"].get("checkpoint", {}).get("interval", "10m"))
        self.team.submit(self.name, **spec)
        self.uid = self.team.read(self.name)["metadata"]["uid"]

    def patch(self, **spec: Any) -> None:
        """Changes its spec."""
        change = json.dumps({"spec": spec})
        arguments = ("patch", "ftj", self.name, "-n", self.team.namespace, "--type=merge", "-p", change)
        self.team.cluster.kubectl(*arguments, check=True)

    def pods(self) -> list[JSON]:
        """The pods that train, or did."""
        return [p for p in self.team.pods("train") if p["metadata"]["labels"]["attune.dev/run"] == self.uid]

    def pod(self) -> JSON:
        """The pod that trains; the last one of a gang."""
        pods = [p for p in self.pods() if "deletionTimestamp" not in p["metadata"]]
        running = [p for p in pods if p["status"]["phase"] == "Running"]
        return max(running, key=lambda p: str(p["metadata"]["name"]))

    def strike(self, deed: Callable[[], object]) -> None:
        """Does the harm, and remembers when."""
        deed()
        self.struck, self.since = self._attempt(), time.time()

    def harm_ends(self) -> None:
        """The harm ends now: times count from here."""
        self.since = time.time()

    def _attempt(self) -> int:
        return len(trainings(self.team.read(self.name))) or 1

    def prefix(self) -> str:
        """Of the run's own objects in the bucket."""
        return f"{self.team.namespace}/out/runs/{self.uid}/"

    def keys(self, below: str = "") -> list[str]:
        """The run's objects, relative to its prefix."""
        pages = self.team.cluster.s3.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.team.bucket, Prefix=self.prefix() + below)
        return [o["Key"].removeprefix(self.prefix()) for page in found for o in page.get("Contents", [])]

    def checkpoints(self) -> list[int]:
        """Steps of the complete checkpoints, oldest first."""
        return sorted(int(key.split("/")[1]) for key in self.keys("checkpoints/") if key.endswith("/COMPLETE"))

    def until(self, holds: Callable[[], object], timeout: float, what: str) -> None:
        """Waits until something holds."""
        deadline = time.monotonic() + timeout
        while not holds():
            job = self.team.read(self.name)
            if (over := is_over(job)) or time.monotonic() > deadline:
                why = "the run ended first" if over else f"not within {timeout:.0f} s"
                pytest.fail(f"{what}: {why}. Status: {json.dumps(job.get('status', {}), indent=1)}")
            time.sleep(0.3)

    def until_checkpoint(self, count: int = 1, timeout: float = 240) -> int:
        """Waits until there are checkpoints, and training has gone on after the last; its step."""
        self.until(lambda: len(self.checkpoints()) >= count, timeout, f"{count} checkpoints")
        last = self.checkpoints()[-1]
        self.diary.until(self.uid, last + 1, timeout)
        return last

    def finish(self, timeout: float = 420) -> JSON:
        """Waits until the run is over, however; checks what must hold of every run."""
        deadline = time.monotonic() + timeout
        while not is_over(job := self.team.read(self.name)):
            told = json.dumps(job.get("status"), indent=1)
            assert time.monotonic() < deadline, f"not over within {timeout:.0f} s: {told}"
            time.sleep(0.5)
        jobs = [j["metadata"] for j in self.team.jobs()]
        mine = [meta["name"] for meta in jobs if meta["labels"]["attune.dev/run"] == self.uid]
        broken = podresults.broken(job, mine, self.diary.steps(self.uid), self.interval + SLACK_SECONDS)
        assert not broken, f"{broken}\n{json.dumps(job['status'], indent=1)}"
        return job

    def succeed(self, resumed_from: int | None = None, timeout: float = 420) -> JSON:
        """Waits for its success; the attempt after the one that was struck went on from that step, or a later one."""
        job = self.finish(timeout)
        assert end_of(job) == "Succeeded", json.dumps(job["status"], indent=1)
        if resumed_from is not None:
            after = trainings(job)[self.struck]
            assert (after.get("resumedFromStep") or 0) >= resumed_from, trainings(job)
        return job

    def row(self, fault: str, job: JSON, seen: str = "") -> PodRow:
        """Its line in the table."""
        return podresults.row(fault, job, self.diary.steps(self.uid), self.since, self.struck, seen)


@contextmanager
def door_to_the_store(team: Team) -> Iterator[Door]:
    """A door before the team's store: its Secret leads through it from now on."""
    store = urlsplit(team.cluster.env["ATTUNE_S3_ENDPOINT"])
    door = Door(str(store.hostname), (str(store.hostname), store.port or 80))
    with ExitStack() as stack:
        try:
            stack.enter_context(door.serving())
        except OSError as error:
            pytest.skip(f"pods reach no address of this machine that a proxy could listen on: {error}")
        lead_through(team, door.url)
        yield door


def lead_through(team: Team, endpoint: str, **keys: str) -> None:
    """Changes the endpoint, and keys if they are given, in the team's Secret."""
    secret = team.cluster.secret(team.namespace)
    secret["stringData"] |= {"AWS_ENDPOINT_URL": endpoint, **keys}
    team.cluster.apply(secret)
