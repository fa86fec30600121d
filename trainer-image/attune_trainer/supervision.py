"""The process that watches over those that train: it passes signals on, notices when they hang, and has the last word.

It has neither torch nor a model, so it is there when they are not: killed for memory, stopped, or stuck in a kernel.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from attune_contract import layout
from attune_contract.enums import ExitCode, OutcomeState, Stage
from attune_contract.outcome import Outcome
from attune_contract.runconfig import RunConfig
from attune_trainer import heart, launch, logs, outcomes
from attune_trainer.errors import OutOfMemoryError
from attune_trainer.stop import MARGIN, Stopper

POLL = 0.5
"""Seconds between two looks at the processes."""
WAKING_SECONDS = 0.5
"""For a process that was stopped. While its first thread wakes up, the kernel has another one answer, which reads the
frames of the first as they change: that ends in half a stack, or in a crash."""
STACKS_TIMES = 3
"""How often they are asked where they stand.

A process that moves between the answers is told from one that is stuck.
"""
STACKS_SECONDS = 1.0
"""Seconds for each answer."""
LOG_TIME = 2.0
"""Seconds for the last lines of a log to arrive."""
_CGROUP = Path("/sys/fs/cgroup")


def run(config: RunConfig, path: Path, environment: Mapping[str, str]) -> int:
    """Starts the processes of this node, watches over them until they end, and says how.

    Args:
        config: the RunConfig, for the numbers of nodes and GPUs.
        path: its file, for the processes.
        environment: JOB_COMPLETION_INDEX and MASTER_ADDR say which node this is and where the first one is.

    Returns:
        The exit code of the process that failed first, or 0.
    """
    with tempfile.TemporaryDirectory(prefix="attune-processes-", ignore_cleanup_errors=True) as folder:
        return _Supervisor(config, path, environment, Path(folder)).work()


class _Supervisor:
    """One attempt's processes on this node."""

    def __init__(self, config: RunConfig, path: Path, environment: Mapping[str, str], folder: Path) -> None:
        self._config = config
        self._document = config.model_dump(mode="json")
        self._environment = environment
        self._folder = folder
        self._secrets = logs.Secrets(config, environment)
        self._killed_before = out_of_memory_kills(_CGROUP)
        self._child = subprocess.Popen(  # noqa: S603 - our own command
            launch.command(config, path, environment),
            env={**environment, launch.FOLDER_VARIABLE: str(folder), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._tail = logs.Tail(self._secrets.mask)
        self._saying = threading.Lock()
        self._said: int | None = None
        # The processes give up first, so that there is time left to say what they said.
        grace = config.grace_seconds + MARGIN / 2
        self._stopper = Stopper(self._give_up, outcomes.TERMINATED, grace, on_ask=self._pass_on)
        self._stopper.prepare()
        # After the child, which would inherit that they are blocked; before any other thread, which would get them.
        self._stopper.listen(signal.SIGTERM, signal.SIGINT)
        assert self._child.stdout is not None, "it was started with a pipe"  # noqa: S101
        self._log = logs.follow(self._child.stdout, sys.stderr, self._tail)

    def work(self) -> int:
        """Until all is over; the exit code."""
        code, outcome = self._watch()
        return self._say(code, self._with_log(outcome) if outcome else None)

    def _say(self, code: int, outcome: Outcome | None) -> int:
        """Says how it ended, once: the thread that watches and the one that hears signals may both come to it.

        Returns:
            The exit code that goes with what was said.
        """
        with self._saying:
            if self._said is None:
                if outcome:
                    outcomes.emit(outcome, self._environment, sys.stdout, self._secrets)
                self._said = code
            return self._said

    def _watch(self) -> tuple[int, Outcome | None]:
        watcher = heart.Watcher(self._folder)
        while True:
            with suppress(subprocess.TimeoutExpired):
                return self._ended(self._child.wait(timeout=POLL))
            stalled = watcher.stalled()
            if stalled:
                return int(ExitCode.STALLED), self._end_stalled(*stalled)

    def _ended(self, code: int) -> tuple[int, Outcome | None]:
        """What to say of processes that ended by themselves."""
        self._log.join(LOG_TIME)
        ended, outcome = launch.first_failure(self._folder, code, self._document, launch.processes_here(self._config))
        if outcome is None or outcome.reason != "ProcessLost":
            return ended, outcome
        if self._stopper.asked:
            return outcomes.TERMINATED, outcomes.stopped(self._document, Stage.TRAIN, launch.kept(self._folder))
        if out_of_memory_kills(_CGROUP) > self._killed_before:
            error = OutOfMemoryError(
                "A training process was killed as the pod's memory was used up. Raise resources.memory, or lower "
                "training.batchSize or training.sequenceLength."
            )
            outcome, ended = outcomes.of_error(error, self._document, Stage.TRAIN, launch.kept(self._folder))
        return ended, outcome

    def _end_stalled(self, doing: str, seconds: float) -> Outcome:
        """Has every process say where it stands, and ends them."""
        for pid in self._pids():
            _send(pid, signal.SIGCONT)  # one that was stopped cannot say anything
        time.sleep(WAKING_SECONDS)
        for number in range(1, STACKS_TIMES + 1):
            for stacks in self._folder.glob("*.stacks"):
                with suppress(OSError), stacks.open("a", encoding="utf-8") as file:  # the disk may be full
                    file.write(f"answer {number}\n")
            for pid in self._pids():
                _send(pid, launch.STACKS_SIGNAL)
            time.sleep(STACKS_SECONDS)
        self._kill()
        ranks = sorted(self._folder.glob("*.stacks"), key=lambda p: int(p.stem))
        text = "".join(f"process {p.stem}\n{p.read_text(encoding='utf-8', errors='replace')}\n" for p in ranks)
        node = launch.node(self._config, self._environment)
        path = layout.attempt_stacks(Stage.TRAIN, self._config.run.attempt, node)
        uri = logs.leave(self._config, self._environment, Stage.TRAIN, path, text)
        where = f" Where each process stood: {uri}." if uri else ""
        return Outcome(
            **outcomes.identity(self._document),
            **launch.kept(self._folder),
            stage=Stage.TRAIN,
            state=OutcomeState.FAILED,
            reason="NoProgress",
            message=f"Training made no progress for {seconds:.0f} s ({doing}), and was ended.{where}",
        )

    def _pass_on(self) -> None:
        """Passes SIGTERM on to the processes that hear it; where not all do yet, none has begun to train."""
        pids = self._pids()
        for pid in pids:
            _send(pid, signal.SIGTERM)
        if len(pids) < launch.processes_here(self._config):
            _send(self._child.pid, signal.SIGTERM)

    def _give_up(self) -> None:
        """Last words where the processes took longer than the pod has."""
        self._kill()
        late = outcomes.stopped(self._document, Stage.TRAIN, launch.kept(self._folder))
        code, outcome = launch.spoken(self._folder) or (outcomes.TERMINATED, None)
        os._exit(self._say(code if outcome else outcomes.TERMINATED, outcome or late))

    def _kill(self) -> None:
        for pid in self._pids():
            _send(pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)

    def _pids(self) -> list[int]:
        found = sorted(self._folder.glob("*.pid"))
        return [int(text) for file in found if (text := file.read_text(encoding="utf-8"))]

    def _with_log(self, outcome: Outcome) -> Outcome:
        """An Outcome that failed, with the last lines of the log; all of it goes below the run."""
        if outcome.state is not OutcomeState.FAILED:
            return outcome
        self._log.join(LOG_TIME)
        logs.leave_log(self._config, self._environment, Stage.TRAIN, self._tail)
        return outcome.model_copy(update={"log_tail": self._tail.last()})


def out_of_memory_kills(cgroup: Path) -> int:
    """How many processes of this container the kernel killed for memory so far; 0 where it does not say.

    Source: the kernel's documentation of control groups: memory.events (v2), memory.oom_control (v1).
    """
    for name in ("memory.events", "memory/memory.oom_control"):
        with suppress(OSError, ValueError):
            lines = (cgroup / name).read_text(encoding="ascii").splitlines()
            return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
    return 0


def _send(pid: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, what)
