"""The process that uploads checkpoints, so that training does not wait for a store.

It is started with the RunConfig as the first line on its standard input; each further line asks for one checkpoint, and
each line that it writes says how that went, or only that files are on their way. It ends when its input does. It
neither knows torch nor hears SIGTERM: a checkpoint that is on its way when the pod is asked to go still gets there.
"""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any, TextIO

from attune_contract.enums import Role, Stage
from attune_contract.outcome import Artifact
from attune_contract.runconfig import RunConfig
from attune_trainer.artifacts import RunFiles
from attune_trainer.checkpointing import store
from attune_trainer.errors import StageError
from attune_trainer.storage.resolve import Stores
from attune_trainer.storage.retry import Retry

PATIENCE = 600.0
"""Seconds for which a store that does not answer is asked again: training goes on meanwhile."""
_APART = 5.0
"""Seconds between two signs of life while files are on their way, at least."""
_GONE = "the process that uploads checkpoints ended"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Uploaded:
    """How one checkpoint went."""

    step: int
    artifact: Artifact | None = None
    """None: it did not get there, or is a part, of which the first process knows whether all is there."""
    seconds: float = 0.0
    """From the beginning of the checkpoint until it was complete."""
    error: str = ""


class Uploader:
    """The other end: asks for uploads, one at a time, and hears how they went.

    Args:
        config: the run.
        keep: complete checkpoints that are kept.
        bad: steps of complete ones that could not be used; they go once there is another.
    """

    def __init__(self, config: RunConfig, keep: int, bad: Sequence[int] = ()) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "attune_trainer.checkpointing.uploader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a signal to the training's group is not for it
        )
        self._answers: Queue[Uploaded | None] = Queue()
        self._asked: int | None = None
        self._is_over = False
        self._send({"config": config.model_dump(mode="json"), "keep": keep, "bad": list(bad)})
        threading.Thread(target=self._listen, name="uploads", daemon=True).start()

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is on its way."""
        return self._asked is not None

    @property
    def is_gone(self) -> bool:
        """Whether it ended, so that another is needed."""
        return self._is_over or self._process.poll() is not None

    def ask(self, step: int, folder: Path, begun: float, part: store.Part | None = None, failed: str = "") -> None:
        """Asks for an upload; the folder is removed afterwards. That the process is gone is an answer, and no error.

        Args:
            step: of the checkpoint.
            folder: the checkpoint.
            begun: when it was begun, in seconds since the epoch.
            part: which part of it this is; None: all of it.
            failed: why there is nothing to upload of a part, which the others should hear of.
        """
        self._asked = step
        which = asdict(part) if part else None
        self._send({"step": step, "folder": str(folder), "begun": begun, "part": which, "failed": failed})

    def answer(self, timeout: float | None, beat: Callable[[], None] = lambda: None) -> Uploaded | None:
        """How the upload went; None while it goes on. That the process ended is an answer, and no error.

        Args:
            timeout: seconds to wait for it; None: as long as it takes.
            beat: told of each sign of life.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while self.is_busy:
            left = None if end is None else max(0.0, end - time.monotonic())
            try:
                found = self._answers.get(block=left != 0, timeout=left)
            except Empty:
                return None
            if found is not None:
                self._asked = None
                return found
            beat()
        return None

    def close(self) -> None:
        """Lets it end, once it has done what it was asked for."""
        if self._process.stdin:
            with suppress(OSError):  # it is gone already, and something was left to say
                self._process.stdin.close()

    def _send(self, document: dict[str, Any]) -> None:
        assert self._process.stdin is not None, "it was started with a pipe"  # noqa: S101
        try:
            self._process.stdin.write(json.dumps(document) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            if self._asked is not None:
                self._answers.put(Uploaded(self._asked, error=_GONE))

    def _listen(self) -> None:
        assert self._process.stdout is not None, "it was started with a pipe"  # noqa: S101
        try:
            for line in self._process.stdout:
                self._answers.put(_heard(json.loads(line)))
        except (ValueError, TypeError, KeyError):
            _log.exception("what the process that uploads says cannot be understood")
        finally:  # else who waits for an answer would do so for ever
            self._is_over = True
            self._process.kill()
            if self._asked is not None:
                self._answers.put(Uploaded(self._asked, error=_GONE))


def _heard(said: dict[str, Any]) -> Uploaded | None:
    """How an upload went; None: files are on their way."""
    if not said:
        return None
    left = said.pop("artifact")
    return Uploaded(**said, artifact=Artifact.model_validate(left) if left else None)


def main() -> None:
    """Uploads whatever standard input asks for, until it ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    begin = json.loads(sys.stdin.readline())
    config = RunConfig.model_validate(begin["config"])
    say = _Voice(answers)
    stores = Stores(config, os.environ, Retry(PATIENCE), say.beat)
    for line in sys.stdin:
        asked = json.loads(line)
        part = store.Part(**asked["part"]) if asked["part"] else None
        if part and asked["failed"]:
            done = _without(stores, asked["step"], part, asked["failed"])
        else:
            made = Made(asked["step"], Path(asked["folder"]), _since(asked["begun"]), part)
            done = upload(stores, made, int(begin["keep"]), begin["bad"])
        if done.artifact:  # whole again, where it was one of them
            begin["bad"] = [step for step in begin["bad"] if step != done.step]
        left = done.artifact.model_dump(mode="json") if done.artifact else None
        say({"step": done.step, "artifact": left, "seconds": done.seconds, "error": done.error})


class _Voice:
    """Writes lines of JSON; from several threads, as transfers have them.

    Args:
        out: takes them.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._beaten = time.monotonic()

    def __call__(self, document: dict[str, Any]) -> None:
        """Writes one."""
        with self._lock:
            self._out.write(json.dumps(document) + "\n")
            self._out.flush()

    def beat(self) -> None:
        """Says, not too often, that files are on their way."""
        now = time.monotonic()
        if now - self._beaten >= _APART:
            self._beaten = now
            self({})


@dataclass(frozen=True)
class Made:
    """A checkpoint on local disk."""

    step: int
    folder: Path
    elapsed: Callable[[], float]
    """Seconds since it was begun."""
    part: store.Part | None = None
    """Which part of it this is; None: all of it."""


def upload(stores: Stores, made: Made, keep: int, bad: Collection[int] = ()) -> Uploaded:
    """Uploads one checkpoint, and removes the ones that are no longer kept; or a part of one.

    Args:
        stores: opens the output's store; keys are read afresh, so that rotated ones are seen.
        made: the checkpoint; its folder is removed. The first part waits for the others.
        keep: complete checkpoints to keep.
        bad: steps of complete ones that could not be used; they go now that there is another.
    """
    step, part = made.step, made.part
    try:
        run = _run(stores)
        if part and part.rank:
            store.write_part(run, made.folder, step, part)
            return Uploaded(step, seconds=round(made.elapsed(), 3))
        artifact = store.write(run, made.folder, step, made.elapsed, store.Parts(part, PATIENCE) if part else None)
    except (StageError, OSError) as error:
        _log.warning("checkpoint %d: %s", step, error)
        if part and part.rank:
            _without(stores, step, part, str(error))
        return Uploaded(step, seconds=round(made.elapsed(), 3), error=str(error))
    finally:
        shutil.rmtree(made.folder, ignore_errors=True)
    done = Uploaded(step, artifact, round(made.elapsed(), 3))
    try:
        store.sweep(run, keep, {step}, bad)
    except StageError as error:  # what is left over goes the next time
        _log.warning("checkpoint %d is complete, but older ones could not be removed: %s", step, error)
    return done


def _without(stores: Stores, step: int, part: store.Part, why: str) -> Uploaded:
    """Tells the first process that a part will not come; that it hears of it is not sure."""
    with suppress(StageError):
        store.give_up_part(_run(stores), step, part, why)
    return Uploaded(step, error=why)


def _run(stores: Stores) -> RunFiles:
    """The run's files, with the keys as they are now."""
    config = stores.config
    return RunFiles(stores.open(Role.OUTPUT, config.workload.output.uri), config.run_uri, Stage.TRAIN)


def _since(begun: float) -> Callable[[], float]:
    return lambda: max(0.0, time.time() - begun)


if __name__ == "__main__":
    main()
