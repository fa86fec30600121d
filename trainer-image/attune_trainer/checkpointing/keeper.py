"""When a training saves its state and when it stops, decided by all of its processes at the beginning of each step."""

import json
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from attune_contract import VERSION, layout
from attune_contract.enums import StopReason
from attune_contract.outcome import Artifact
from attune_contract.runconfig import RunConfig
from attune_trainer.artifacts import RunFiles
from attune_trainer.checkpointing import sharded, state, store
from attune_trainer.checkpointing.finding import Finder
from attune_trainer.checkpointing.gang import Gang
from attune_trainer.checkpointing.uploader import Uploaded, Uploader
from attune_trainer.distributed import Process
from attune_trainer.errors import StoppedError, StoreUnreachableError
from attune_trainer.heart import Heart
from attune_trainer.methods.reporting import Reporter
from attune_trainer.methods.watching import Watch
from attune_trainer.progress import Board
from attune_trainer.stop import Stopper

_REASONS = list(StopReason)
_LOOK_AGAIN = 1.0
"""Seconds after which the processes that wait for a checkpoint tell each other whether it is still on its way."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What a training that survives goes by.

    Args:
        config: how often to save, how much to keep, how long it may take.
        run: the run's files.
        identity: what a checkpoint must have been made from.
        description: what checkpoint.json says beside.
        process: which process of how many this is.
        stopper: knows whether the pod must go.
        board: is told of checkpoints.
        heart: is told that long work begins.
        scratch: a folder for checkpoints on their way, on the disk of the best weights.
        shared: a folder of this attempt alone that the processes of this machine may share.
        clock: seconds, monotonic.
        started: when this attempt began, by that clock.
        writer: takes and puts back weights and optimizer; None: the one for the Trainer that it is about.
    """

    config: RunConfig
    run: RunFiles
    identity: store.Identity
    description: dict[str, Any]
    process: Process
    stopper: Stopper
    board: Board
    heart: Heart
    scratch: Path
    shared: Path
    clock: Callable[[], float]
    started: float
    writer: state.StateWriter | None = None


class Keeper(TrainerCallback):  # type: ignore[misc]  # transformers ships no types
    """Saves a training's state, and stops it.

    Args:
        plan: what it goes by.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._gang = Gang(plan.process)
        self._finder = Finder(
            plan.run, plan.identity, plan.process, self._gang, plan.shared, self._warn, plan.heart.beat
        )
        self._found: store.Found | None = None
        self._trainer: Any = None
        self._writer: state.StateWriter = state.WholeState()
        self._uploader: Uploader | None = None
        self._writing: threading.Thread | None = None
        self._is_resumed = False
        self._last_begun = plan.started
        self.last: Artifact | None = None
        """The last complete checkpoint."""

    # Going on from a checkpoint

    def attach(self, trainer: Any) -> str | None:
        """Becomes a callback of a Trainer, and looks for a checkpoint to go on from.

        Returns:
            The folder of its state, for `Trainer.train(resume_from_checkpoint=...)`; None: it begins at the beginning.

        Raises:
            StageError: a checkpoint is of another configuration or data, or none can be used (`Finder.find`).
        """
        self._trainer = trainer
        trainer.state_writer = self._writer = self._plan.writer or sharded.writer_of(trainer)
        trainer.add_callback(self)
        self._found = self._finder.find()
        if self._found is None:
            return None
        self.last = self._found.artifact
        folder = self._found.folder / layout.CHECKPOINT_STATE
        trainer.state_writer = self._plan.writer or sharded.reader_of(trainer, folder)
        history = json.loads((folder / state.HISTORY).read_text(encoding="utf-8"))
        _of(trainer, Reporter).resume(history["reporter"])
        watch = _of(trainer, Watch)
        if watch and history["watch"]:
            watch.resume(history["watch"], folder)
        self._tell(resumed_from_step=self._found.step, checkpoint_step=self._found.step)
        if self._found.seconds is not None:
            self._plan.board.update(checkpoint_seconds=self._found.seconds)
        _log.info("going on from step %d", self._found.step)
        return str(folder)

    # Callbacks of the Trainer

    def on_train_begin(self, _args: Any, trainer_state: Any, _control: Any, *, train_dataloader: Any, **_: Any) -> None:
        """Has the order of the rows drawn for the epoch that training is in."""
        per_epoch = -(-len(train_dataloader) // self._trainer.args.gradient_accumulation_steps)
        if self._found:
            state.put_sampler(train_dataloader, trainer_state.global_step // per_epoch)
        if self._plan.process.is_first or self._writer.is_in_parts:
            self._uploader = self._upload()
        self._last_begun = self._plan.clock()
        self._plan.stopper.prepare()

    def on_step_begin(self, _args: Any, trainer_state: Any, _control: Any, **_: Any) -> None:
        """Puts back what a checkpoint kept; then saves or stops where all processes are to.

        Raises:
            StoppedError: training stops, with a checkpoint.
        """
        if self._found and not self._is_resumed:
            self._is_resumed = True
            state.put_random(self._trainer, self._found.folder / layout.CHECKPOINT_STATE, self._plan.process.rank)
            self._gang.wait()
            store.forget(self._found.folder)
        self._hear()
        wants = [self._wants_to_stop(), self._wants_to_save(trainer_state.global_step), int(self._is_writing)]
        stop, save, is_writing = self._gang.highest(wants)
        if stop:
            self._stop(_REASONS[stop - 1], trainer_state.global_step)
        elif save and not is_writing:
            self._save(trainer_state.global_step)

    def finish(self, patience: float | None = None) -> None:
        """Waits for the checkpoint that is on its way, and lets go of the process that uploads.

        That it does not get there is told, and no error.

        Args:
            patience: seconds to wait, where the other processes may be gone; None: as long as it takes, and all wait.
        """
        self._plan.heart.allow("waiting for the last checkpoint")
        if patience is None:
            self._settle()
        else:
            self._hear(patience)
        if self._uploader:
            self._uploader.close()

    # Decisions

    def _wants_to_stop(self) -> int:
        """0, or the number of a reason and one."""
        if self._plan.stopper.asked:
            return 1 + _REASONS.index(StopReason.SIGNAL)
        limit = self._plan.config.deadline_seconds
        if limit is not None and self._plan.clock() - self._plan.started >= limit:
            return 1 + _REASONS.index(StopReason.BUDGET)
        return 0

    def _wants_to_save(self, step: int) -> int:
        """Only the first process looks at the clock."""
        if not self._plan.process.is_first or self._uploader is None or step in {0, self._last_step}:
            return 0
        return int(self._plan.clock() - self._last_begun >= self._plan.config.checkpoint.interval_seconds)

    @property
    def _is_writing(self) -> bool:
        return (self._writing is not None and self._writing.is_alive()) or bool(
            self._uploader and self._uploader.is_busy
        )

    # Deeds

    def _save(self, step: int) -> None:
        """Takes the state; the rest is done beside the training."""
        begun, begun_at = self._plan.clock(), time.time()
        self._last_begun = begun
        part = self._part()
        snapshot = self._writer.take(self._trainer, self._gang)
        if snapshot is not None:
            watch = _of(self._trainer, Watch)
            if self._plan.process.is_first:
                told = {"reporter": _of(self._trainer, Reporter).state(), "watch": watch.state() if watch else None}
                snapshot.documents[state.HISTORY] = told
            best = self._hold(watch.best_file, step) if watch and watch.best_file else None
            arguments = (snapshot, best, self._describe(step), begun_at, part)
            self._writing = threading.Thread(target=self._write, args=arguments, name="checkpoint", daemon=True)
            self._writing.start()
        stall = self._plan.clock() - begun
        _log.info("checkpoint of step %d: training stood still for %.3f s", step, stall)
        _of(self._trainer, Reporter).stopwatch.leave_out(stall)

    def _hold(self, best: Path, step: int) -> Path:
        """Another name for the best weights so far, which stays when better ones take their place.

        That there is none is no reason to end a training: then writing the checkpoint fails, and says so.
        """
        held = self._plan.scratch / "checkpoints" / f"{step}.best"
        with suppress(OSError):
            held.parent.mkdir(exist_ok=True)
            held.unlink(missing_ok=True)
            os.link(best, held)
        return held

    def _part(self) -> store.Part | None:
        """Which part of the next checkpoint this process writes; None where the first one writes all."""
        if not self._writer.is_in_parts:
            return None
        token: str = self._gang.from_first(secrets.token_hex(8))
        return store.Part(self._plan.process.rank, self._plan.process.world_size, token)

    def _write(
        self,
        snapshot: state.Snapshot,
        best: Path | None,
        description: dict[str, Any],
        begun: float,
        part: store.Part | None,
    ) -> None:
        """Writes the state to local disk and hands it over; in a thread of its own."""
        step, failed = description["step"], ""
        folder = self._plan.scratch / "checkpoints" / f"{step}-{self._plan.process.rank}"
        shutil.rmtree(folder, ignore_errors=True)
        try:
            snapshot.write(folder / layout.CHECKPOINT_STATE)
            if best:
                best.replace(folder / layout.CHECKPOINT_STATE / state.BEST)
            if self._plan.process.is_first:
                text = json.dumps(description, indent=2) + "\n"
                (folder / layout.CHECKPOINT_DESCRIPTION).write_text(text, encoding="utf-8")
        except Exception as error:  # noqa: BLE001 - of a full disk safetensors has an error of its own
            shutil.rmtree(folder, ignore_errors=True)
            if best:
                best.unlink(missing_ok=True)
            failed = f"it could not be written to local disk: {error}"
            if not (part and part.rank):
                self._failed(Uploaded(step, error=failed))
                return
        assert self._uploader is not None, "who writes has one"  # noqa: S101
        if self._uploader.is_gone:
            self._uploader = self._upload()
        self._uploader.ask(step, folder, begun, part, failed)

    def _upload(self) -> Uploader:
        return Uploader(self._plan.config, self._plan.config.checkpoint.keep, self._finder.bad)

    def _describe(self, step: int) -> dict[str, Any]:
        trainer_state = self._trainer.state
        return {
            "version": VERSION,
            "step": step,
            "totalSteps": int(trainer_state.max_steps),
            "epoch": float(trainer_state.epoch or 0),
            "tokens": int(trainer_state.num_input_tokens_seen),
            "worldSize": self._plan.process.world_size,
            "attempt": self._plan.config.run.attempt,
            **self._plan.identity.as_json(),
            **self._plan.description,
        }

    def _stop(self, reason: StopReason, step: int) -> None:
        """Saves, waits until that is complete, and ends training in all processes.

        Raises:
            StoppedError: it is complete.
            StoreUnreachableError: it is not, and there is none before it.
        """
        self._plan.heart.allow("saving before it stops")
        if self._wait_for_last(step):
            self._save(step)
            self._settle()
        self.finish()
        said = self._gang.from_first([self.last.model_dump(mode="json") if self.last else None])
        if said[0] is None:
            raise StoreUnreachableError(
                f"Training was to stop at step {step}, and its checkpoint did not get to the store."
            )
        raise StoppedError(reason, Artifact.model_validate(said[0]))

    def _wait_for_last(self, step: int) -> bool:
        """Waits for the checkpoint that is on its way; whether there is time for another. All processes agree."""
        self._settle()
        left = self._plan.stopper.seconds_left
        needed = self._plan.board.read().checkpoint_seconds or 0.0
        enough = left is None or self.last is None or left > needed
        decided: bool = self._gang.from_first(enough and step != self._last_step)
        return decided

    @property
    def _last_step(self) -> int | None:
        return int(self.last.path.strip("/").rsplit("/", 1)[-1]) if self.last else None

    def _settle(self) -> None:
        """Until nothing is on its way any more, from any process. All wait together: none is left in a time-out."""
        while self._gang.highest([int(self._is_writing)])[0]:
            if self._is_writing:
                self._hear(_LOOK_AGAIN)
            else:
                self._plan.heart.beat()
        self._hear()

    def _hear(self, patience: float = 0) -> None:
        """Takes what is said of the checkpoint that is on its way, if that is in time."""
        if self._writing and patience:
            self._writing.join(patience)
        if self._uploader:
            self._take(self._uploader.answer(patience, self._plan.heart.beat if patience else lambda: None))

    def _take(self, done: Uploaded | None) -> None:
        if done is None:
            return
        if done.artifact is None:
            if done.error:
                self._failed(done)
            return
        self.last = done.artifact
        self._tell(checkpoint_step=done.step, checkpoint_seconds=done.seconds)
        _log.info("checkpoint of step %d is complete after %.1f s", done.step, done.seconds)

    def _failed(self, done: Uploaded) -> None:
        self._warn(f"The checkpoint of step {done.step} did not get to the store: {done.error}.")

    def _warn(self, text: str) -> None:
        _log.warning("%s", text)
        self._plan.board.warn(text)

    def _tell(self, **fields: Any) -> None:
        self._plan.board.update(**fields)
        self._plan.board.keep(self.last, self._found.step if self._found else 0)


def _of(trainer: Any, kind: type) -> Any:
    return next((c for c in trainer.callback_handler.callbacks if isinstance(c, kind)), None)
