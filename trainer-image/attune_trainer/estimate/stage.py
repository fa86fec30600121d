"""Preflight's estimate: what is read of the model, what is said of the run, and what ends it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attune_contract.outcome import Artifact, Estimate, Validation
from attune_contract.runconfig import RunConfig
from attune_trainer.errors import InvalidConfigurationError, StageError
from attune_trainer.estimate import figures, limits, model
from attune_trainer.estimate.tensors import Tensor
from attune_trainer.models import BaseModel, ModelSource

_log = logging.getLogger(__name__)
_UNBOUNDED = 2**31


@dataclass(frozen=True)
class Judgement:
    """What preflight says of a run before anything expensive starts."""

    estimate: Estimate | None = None
    """None where there is nothing to train on."""
    refusal: limits.Refusal | InvalidConfigurationError | None = None
    """Why the run cannot go as it is asked for."""

    def in_words(self) -> str:
        """What the stage's message goes on with."""
        return f" Training is estimated at {self.estimate.in_words}." if self.estimate else ""

    def details(self) -> dict[str, Any]:
        """What the validation report tells of it."""
        if self.estimate is None:
            return {}
        return {"estimate": self.estimate.model_dump(mode="json", exclude_none=True)}

    def demand(self, validation: Validation, artifacts: tuple[Artifact, ...]) -> None:
        """Ends the stage where something stands against the run.

        Args:
            validation: the figures of the data, for the resource's status.
            artifacts: the report that was written.

        Raises:
            DoesNotFitError, OverBudgetError: with what would fit.
            InvalidConfigurationError: the batch cannot be divided over the processes.
        """
        if isinstance(self.refusal, limits.Refusal):
            raise self.refusal.kind(self.refusal.message, validation, self.estimate, artifacts)
        if self.refusal is not None:
            raise self.refusal


def judge(config: RunConfig, base: BaseModel, source: ModelSource, lengths: Mapping[int, int]) -> Judgement:
    """Estimates a run.

    Args:
        config: the manifest, the runtime's facts and the budget.
        base: the model's small files.
        source: where its weights are, of which the headers are read.
        lengths: rows of train by their tokens before cutting; of a pair, of its longer side.
    """
    document = base.config()
    case = figures.Case(
        manifest=config.workload,
        runtime=config.runtime,
        model=model.weights(document, _tensors(source, base)),
        lengths=lengths,
        positions=base.sequence_length(_UNBOUNDED),
    )
    try:
        found = figures.figures(case)
    except InvalidConfigurationError as error:
        return Judgement(refusal=error)
    if found is None:
        return Judgement()
    return Judgement(figures.estimate(case, found), limits.refusal(case, found, config.budget))


def _tensors(source: ModelSource, base: BaseModel) -> tuple[Tensor, ...]:
    """What the weights' headers say; nothing where they cannot be read: an estimate is no reason to end a run."""
    try:
        return tuple(source.tensors(base.listing))
    except (StageError, ValueError, KeyError, TypeError, OSError) as error:
        _log.warning("the estimate goes by config.json: the headers of the weights cannot be read: %s", error)
        return ()
