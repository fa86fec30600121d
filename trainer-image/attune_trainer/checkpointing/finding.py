"""Which checkpoint a training goes on from: the newest that is whole, and of the same configuration, data and model."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from attune_trainer.artifacts import RunFiles
from attune_trainer.checkpointing import store
from attune_trainer.checkpointing.gang import Gang
from attune_trainer.distributed import Process
from attune_trainer.errors import (
    DigestMismatchError,
    InvalidConfigurationError,
    StageError,
    StoreUnreachableError,
)

_ERRORS = {kind.__name__: kind for kind in (InvalidConfigurationError, DigestMismatchError, StoreUnreachableError)}
"""Of what the first process met and all processes end with."""


@dataclass
class Finder:
    """Looks for the checkpoint to go on from.

    Args:
        run: the run's files.
        identity: what a checkpoint must have been made from.
        process: which process of how many this is.
        gang: all of them.
        shared: a folder of this attempt alone that the processes of this machine may share.
        warn: told of what could not be used.
        beat: told, while it waits for another process, that nothing is wrong.
        bad: steps of those that could not be used. They stay in the store until there is another: what is damaged on
            its way here, or by this machine's disk, is whole for another attempt.
    """

    run: RunFiles
    identity: store.Identity
    process: Process
    gang: Gang
    shared: Path
    warn: Callable[[str], None]
    beat: Callable[[], None] = lambda: None
    bad: list[int] = field(default_factory=list)

    def find(self) -> store.Found | None:
        """The newest checkpoint that is whole. The first process looks; all take what it found.

        Returns:
            The same one in every process; None: there is none.

        Raises:
            InvalidConfigurationError, DigestMismatchError: it is of another configuration, data or model.
            StoreUnreachableError: the store does not answer, or there are some and none can be used.
        """
        found, error = None, None
        if self.process.is_first:
            try:
                found = self._newest()
            except StageError as raised:
                error = raised
        kind = type(error).__name__ if error else None
        step, kind, problem = self.gang.from_first([found.step if found else None, kind, str(error)])
        if error:
            raise error
        if kind is not None:
            raise _ERRORS.get(kind, StoreUnreachableError)(problem)
        if step is None or self.process.is_first:
            return found
        return self._fetch(int(step))

    def _newest(self) -> store.Found | None:
        """The newest in the store that can be used.

        Raises:
            StoreUnreachableError: there are some, and none can be used: another attempt may be able to, elsewhere.
        """
        problem = ""
        for step in store.resumable(self.run):
            try:
                found = self._fetch_twice(step)
            except DigestMismatchError as error:
                problem = problem or str(error)
                store.forget(self._place(step))
                self.bad.append(step)
                self.warn(f"Checkpoint {step} cannot be used, so an older one is: {error}.")
                continue
            try:
                self.identity.demand(self.run.uri(found.artifact.path), found.description)
            except StageError:
                store.forget(found.folder)
                raise
            return found
        if problem:
            steps = ", ".join(map(str, self.bad))
            raise StoreUnreachableError(
                f"No checkpoint arrives here as it was written ({steps}): {problem}. Another attempt fetches them "
                "again, perhaps on another node; if they are damaged in the store, remove them to train from the start."
            )
        return None

    def _fetch_twice(self, step: int) -> store.Found:
        """Nothing is given up for what may have been damaged only on its way here."""
        try:
            return self._fetch(step)
        except DigestMismatchError:
            store.forget(self._place(step))
            return self._fetch(step)

    def _fetch(self, step: int) -> store.Found:
        return store.fetch(self.run, step, self._place(step), self.beat)

    def _place(self, step: int) -> Path:
        return self.shared / f"resume-{step}"
