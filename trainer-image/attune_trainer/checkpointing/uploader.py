"""The process that uploads checkpoints, so that training does not wait for a store.

It is started with the RunConfig as the first line on its standard input; each further line asks for one checkpoint, and
each line that it writes says how that went. It ends when its input does. It neither knows torch nor hears SIGTERM: a
checkpoint that is on its way when the pod is asked to go still gets there.
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
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

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
    """

    def __init__(self, config: RunConfig, keep: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "attune_trainer.checkpointing.uploader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a signal to the training's group is not for it
        )
        self._answers: Queue[Uploaded] = Queue()
        self._asked: int | None = None
        self._send({"config": config.model_dump(mode="json"), "keep": keep})
        threading.Thread(target=self._listen, name="uploads", daemon=True).start()

    @property
    def is_busy(self) -> bool:
        """Whether a checkpoint is on its way."""
        return self._asked is not None

    @property
    def is_gone(self) -> bool:
        """Whether it ended, so that another is needed."""
        return self._process.poll() is not None

    def ask(self, step: int, folder: Path, begun: float, part: store.Part | None = None) -> None:
        """Asks for an upload; the folder is removed afterwards.

        Args:
            step: of the checkpoint.
            folder: the checkpoint.
            begun: when it was begun, in seconds since the epoch.
            part: which part of it this is; None: all of it.
        """
        self._asked = step
        self._send({"step": step, "folder": str(folder), "begun": begun, "part": asdict(part) if part else None})

    def answer(self, timeout: float | None) -> Uploaded | None:
        """How the upload went; None while it goes on.

        Args:
            timeout: seconds to wait for it; None: as long as it takes.
        """
        if not self.is_busy:
            return None
        try:
            found = self._answers.get(block=timeout != 0, timeout=timeout)
        except Empty:
            return None
        self._asked = None
        return found

    def close(self) -> None:
        """Lets it end, once it has done what it was asked for."""
        if self._process.stdin:
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
        for line in self._process.stdout:
            said = json.loads(line)
            left = said.pop("artifact")
            self._answers.put(Uploaded(**said, artifact=Artifact.model_validate(left) if left else None))
        if self._asked is not None:
            self._answers.put(Uploaded(self._asked, error=_GONE))


def main() -> None:
    """Uploads whatever standard input asks for, until it ends."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no answer
    begin = json.loads(sys.stdin.readline())
    config = RunConfig.model_validate(begin["config"])
    stores = Stores(config, os.environ, Retry(PATIENCE))
    for line in sys.stdin:
        asked = json.loads(line)
        part = store.Part(**asked["part"]) if asked["part"] else None
        done = upload(
            stores, int(begin["keep"]), asked["step"], Path(asked["folder"]), _since(asked["begun"]), part=part
        )
        left = done.artifact.model_dump(mode="json") if done.artifact else None
        said = {"step": done.step, "artifact": left, "seconds": done.seconds, "error": done.error}
        answers.write(json.dumps(said) + "\n")
        answers.flush()


def upload(
    stores: Stores, keep: int, step: int, folder: Path, elapsed: Callable[[], float], *, part: store.Part | None = None
) -> Uploaded:
    """Uploads one checkpoint, and removes the ones that are no longer kept; or a part of one.

    Args:
        stores: opens the output's store; keys are read afresh, so that rotated ones are seen.
        keep: complete checkpoints to keep.
        step: of the checkpoint.
        folder: the checkpoint; removed.
        elapsed: seconds since it was begun.
        part: which part of it this is; the first one waits for the others. None: all of it.
    """
    config = stores.config
    try:
        run = RunFiles(stores.open(Role.OUTPUT, config.workload.output.uri), config.run_uri, Stage.TRAIN)
        if part and part.rank:
            store.write_part(run, folder, step, part)
            return Uploaded(step, seconds=round(elapsed(), 3))
        artifact = store.write(run, folder, step, elapsed, store.Parts(part, PATIENCE) if part else None)
    except (StageError, OSError) as error:
        _log.warning("checkpoint %d: %s", step, error)
        return Uploaded(step, seconds=round(elapsed(), 3), error=str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    done = Uploaded(step, artifact, round(elapsed(), 3))
    try:
        store.sweep(run, keep, {step})
    except StageError as error:  # what is left over goes the next time
        _log.warning("checkpoint %d is complete, but older ones could not be removed: %s", step, error)
    return done


def _since(begun: float) -> Callable[[], float]:
    return lambda: max(0.0, time.time() - begun)


if __name__ == "__main__":
    main()
