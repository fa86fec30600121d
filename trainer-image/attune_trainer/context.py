"""What every stage is given: its RunConfig, stores, scratch folder, progress board and clock. Nothing is global."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

from attune_contract.enums import OutcomeState, Role, Stage
from attune_contract.outcome import Outcome
from attune_contract.runconfig import RunConfig
from attune_trainer.artifacts import RunFiles
from attune_trainer.heart import Heart
from attune_trainer.progress import Board
from attune_trainer.stop import Stopper, never
from attune_trainer.storage.resolve import Stores
from attune_trainer.storage.retry import Retry


@dataclass(frozen=True)
class Context:
    """One attempt at one stage.

    Args:
        config: what the operator, or a person at a laptop, asks for.
        stage: which of the four this is; on a laptop one file serves all of them.
        environment: the process's variables.
        scratch: an empty folder that goes away afterwards.
        board: where the stage says how far it is.
        now: the wall clock, in UTC.
        log: for people who read the pod's log.
        stopper: knows whether the pod must go.
        heart: is given signs of life.
    """

    config: RunConfig
    stage: Stage
    environment: Mapping[str, str]
    scratch: Path
    board: Board
    now: Callable[[], datetime]
    log: logging.Logger
    stopper: Stopper = field(default_factory=never)
    heart: Heart = field(default_factory=lambda: Heart(None))

    @cached_property
    def stores(self) -> Stores:
        """Opens stores by URI and role."""
        return Stores(self.config, self.environment, beat=self.heart.beat)

    @property
    def run(self) -> RunFiles:
        """The run's own files; with the keys as they are now, since an attempt outlives them.

        Raises:
            BlockedError: the output's Secret is missing.
        """
        return self.run_with(self.stores.retry)

    def run_with(self, retry: Retry) -> RunFiles:
        """The same, with a patience of its own.

        Args:
            retry: how the store's own failures are repeated.

        Raises:
            BlockedError: the output's Secret is missing.
        """
        store = replace(self.stores, retry=retry).open(Role.OUTPUT, self.config.workload.output.uri)
        return RunFiles(store, self.config.run_uri, self.stage)

    def outcome(self, message: str) -> Outcome:
        """The bare Outcome of a stage that went well; the stage adds its figures."""
        return Outcome(
            run_id=self.config.run.id,
            stage=self.stage,
            attempt=self.config.run.attempt,
            state=OutcomeState.SUCCEEDED,
            reason="Completed",
            message=message,
        )
