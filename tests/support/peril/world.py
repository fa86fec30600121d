"""A world of its own for one operator and its runs, with harm in between; and the verdict on what became of them."""

import asyncio
import json
import re
import statistics
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.apiserver import APIServer
from benchmarks.manifests import NAME, finetunejob
from benchmarks.scene import NAMESPACES_PATH, runs_path

from attune_devcluster.alone import Alone
from peril.faults import Kind, Script, healthy
from peril.operator import Operator
from peril.proxy import STALLED_BY_DEFAULT, Proxy
from peril.witness import Witness, condition, is_over

JSON = dict[str, Any]
STAGES = ("Preflight", "Train", "Evaluate", "Publish")
PATIENCE_SECONDS = 240.0
"""For a run that takes seconds where nothing goes wrong: a machine with much to do must not make a test fail."""
MOST_STALLS = 8


@dataclass
class World:
    """One namespace, one operator or several, and who watches them."""

    api: APIServer
    namespace: str
    witness: Witness
    proxies: list[Proxy]
    operators: list[Operator]
    names: list[str] = field(default_factory=list)
    patience: float = PATIENCE_SECONDS

    async def submit(self, *names: str, runtime: str = NAME) -> None:
        """Creates FineTuneJobs."""
        for name in names:
            await self.api.post(runs_path(self.namespace), finetunejob(name, runtime))
        self.names += names

    async def finish(self) -> "Verdict":
        """Waits until all runs are over, and judges them."""
        await self.witness.finished(self.names, self.patience)
        return self.verdict()

    def verdict(self, names: Sequence[str] = ()) -> "Verdict":
        """What became of the runs."""
        runs = {name: self.witness.runs.get(name, {}) for name in names or self.names}
        steps = [done for proxy in self.proxies for done in proxy.done if done.is_step]
        faults = [done for proxy in self.proxies for done in proxy.faults]
        struck = [
            Strike(f.fault, f.asked.what, min((s.at - f.at for s in steps if s.at > f.at), default=None))
            for f in faults
            if f.fault
        ]
        return Verdict(
            namespace=self.namespace,
            states={name: _state(run) for name, run in runs.items()},
            attempts=[a for run in runs.values() for a in run.get("status", {}).get("attempts", [])],
            problems=[*self.witness.overlaps, *self.witness.again, *_doubles(self.witness), *_untrue(runs)],
            struck=struck,
            messages=[said.message for name in runs for said in self.witness.said.get(name, []) if said.message],
            restarts=sum(operator.starts for operator in self.operators) - len(self.operators),
            hung=sum(operator.hung for operator in self.operators),
            writes=sum(1 for proxy in self.proxies for done in proxy.done if done.asked.write),
        )


class Strike(NamedTuple):
    """A fault as it happened."""

    kind: Kind
    what: str
    """The request that it was done to, such as `POST jobs`."""
    wait: float | None
    """Seconds until the next step of any run; None where there was none after it."""


@dataclass(frozen=True)
class Verdict:
    """What became of the runs of a world.

    Attributes:
        namespace: where.
        states: `Succeeded`, or what else there is instead, by run.
        attempts: those of all runs as status tells them.
        problems: promises that were broken.
        struck: what went wrong on the way.
        messages: everything that status said.
        restarts: how often an operator was started again, for whatever reason.
        hung: how often of these because it did not answer its liveness probe.
        writes: of the operators, whether they succeeded or not.
    """

    namespace: str
    states: dict[str, str]
    attempts: list[JSON]
    problems: list[str]
    struck: list[Strike]
    messages: list[str]
    restarts: int
    hung: int
    writes: int

    @property
    def waits(self) -> list[float]:
        """Seconds from each fault to the next step."""
        return [strike.wait for strike in self.struck if strike.wait is not None]

    @property
    def broken(self) -> list[str]:
        """Everything that is not as it was promised; empty is good."""
        unfinished = [f"{name}: {state}" for name, state in self.states.items() if state != "Succeeded"]
        said = f" (in {self.namespace}, after {', '.join(strike.kind for strike in self.struck)})"
        return [problem + said for problem in (*self.problems, *unfinished)]

    @property
    def extra_attempts(self) -> int:
        """Attempts beyond one for each stage."""
        return len(self.attempts) - len(STAGES) * len(self.states)


def _state(run: JSON) -> str:
    if is_over(run):
        good = condition(run, "Succeeded").get("status") == "True"
        return "Succeeded" if good else f"Failed: {run['status'].get('message')}"
    status = run.get("status", {})
    return f"not finished: {status.get('phase')}: {status.get('message')}"


def _doubles(witness: Witness) -> list[str]:
    return [f"{len(uids)} Jobs for {which}" for which, uids in witness.made.items() if len(uids) > 1]


def _untrue(runs: dict[str, JSON]) -> list[str]:
    """Where a status that ended well does not tell of every stage, each succeeded once, in order."""
    wrong = []
    for name, run in runs.items():
        done = [a["stage"] for a in run.get("status", {}).get("attempts", []) if a["state"] == "Succeeded"]
        if is_over(run) and tuple(done) != STAGES:
            wrong.append(f"{name}: stages that succeeded: {done}")
    return wrong


@asynccontextmanager
async def world(
    alone: Alone,
    api: APIServer,
    folder: Path,
    namespace: str,
    *,
    scripts: Sequence[Script] = (healthy,),
    stall: float = STALLED_BY_DEFAULT,
    mangle: Callable[[JSON], JSON] | None = None,
    elect: bool = False,
) -> AsyncIterator[World]:
    """A namespace with an operator for each script, each behind a proxy of its own.

    Where they do not elect a leader all of them work, which is what leader election is to prevent.
    """
    await _namespace(api, namespace)
    async with AsyncExitStack() as stack:
        witness = await stack.enter_async_context(Witness(api, namespace).watching())
        made = World(api, namespace, witness, [], [], patience=PATIENCE_SECONDS + MOST_STALLS * stall)
        for number, script in enumerate(scripts):
            proxy = Proxy(alone, namespace, script, stall=stall, mangle=mangle)
            url = await stack.enter_async_context(proxy.serving())
            operator = Operator(folder, url, namespace, f"{namespace}-operator-{number}", elect)
            proxy.kill = operator.kill
            made.proxies.append(proxy)
            made.operators.append(await stack.enter_async_context(operator.running()))
        yield made


async def _namespace(api: APIServer, name: str) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await api.post(NAMESPACES_PATH, json.dumps(body).encode())
    account = f"{NAMESPACES_PATH}/{name}/serviceaccounts/default"
    while not await api.find(account):  # noqa: ASYNC110 - what is waited for is in another process
        await asyncio.sleep(0.1)


_VARIES = re.compile(r"[0-9a-f]{8}(-[0-9a-f-]+)?|\d+|\brun-\S+")


def pattern(message: str) -> str:
    """A message without what differs from run to run."""
    return _VARIES.sub("…", message)


def quantiles(values: Sequence[float]) -> str:
    """Median and longest, in seconds, for a table."""
    return f"{statistics.median(values):.1f} s, at most {max(values):.1f} s" if values else "—"
