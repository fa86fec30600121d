"""What a method is given, what it does, and what comes of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from attune_contract.outcome import TrainingFigures
from attune_contract.spec import Workload
from attune_trainer.distributed import Process
from attune_trainer.heart import Heart
from attune_trainer.methods.device import Device
from attune_trainer.models import BaseModel


@dataclass(frozen=True)
class Step:
    """One logged step, as the report keeps it."""

    step: int
    total_steps: int
    epoch: float
    loss: float
    """The method's loss, mean since the last logged step; of SFT and ContinuedPretraining, nats per learnt token."""
    learning_rate: float
    tokens: int
    """Through the model so far, over all processes, padding not counted."""
    seconds: float
    """Since training began."""
    margin: float | None = None
    """Mean reward of wanted answers less that of unwanted ones, as the method's own loss has it (DPO, ORPO, KTO)."""
    seconds_per_step: float | None = None
    """Mean over the first measured steps, the very first one apart; None until there are enough."""
    measured_steps: int | None = None
    """How many steps that mean is over."""


@dataclass(frozen=True)
class Point:
    """One measurement of the loss on the validation rows."""

    step: int
    """Optimizer steps done."""
    epoch: float
    loss: float
    """The method's loss, as for the rows that are learnt, with neither dropout nor gradient."""


class Keeping(Protocol):
    """Saves and stops a training (`checkpointing/keeper.py`)."""

    def attach(self, trainer: Any) -> str | None:
        """Becomes part of a Trainer; the folder of the state that it is to go on from, or None."""
        ...

    def finish(self, patience: float | None = None) -> None:
        """Waits for the checkpoint that is on its way, for so many seconds at most."""
        ...


@dataclass(frozen=True)
class Job:
    """One training.

    Args:
        work: the manifest's blocks.
        base: the base model, fetched.
        train: parquet of the canonical training rows.
        process: which process of how many this is.
        device: where it computes, and in which precision.
        folder: scratch.
        on_step: told of every logged step.
        clock: seconds, monotonic.
        validation: parquet of the canonical rows that training is watched with; None: it is not.
        heart: is given signs of life.
        keeper: saves and stops it, and goes on from what another attempt saved; None: nobody does.
    """

    work: Workload
    base: BaseModel
    train: Path
    process: Process
    device: Device
    folder: Path
    on_step: Callable[[Step], None]
    clock: Callable[[], float]
    validation: Path | None = None
    heart: Heart = field(default_factory=lambda: Heart(None))
    keeper: Keeping | None = None

    @property
    def sequence_length(self) -> int:
        """Tokens beyond it are cut off."""
        return self.base.sequence_length(self.work.training.sequence_length)


@dataclass(frozen=True)
class Loaded:
    """A model ready to be trained, with its tokenizer."""

    model: Any
    """A transformers model, or a peft model around one."""
    tokenizer: Any
    labels: tuple[str, ...] = ()
    """Of Classification, in the order of their numbers."""


@dataclass(frozen=True)
class Trained:
    """What training came to."""

    figures: TrainingFigures
    history: tuple[Step, ...]
    settings: dict[str, Any]
    """What was derived from the manifest: micro-batch, accumulation, precision, weights of the loss."""
    validation: tuple[Point, ...] = ()
    """The loss on the validation rows, as training went on."""
    step: int = 0
    """Optimizer steps that the weights it ended with have behind them: fewer than were done where an earlier state was
    the best and is kept."""
    stopped_early: bool = False
    """Whether it ended before its last step because it got no better."""


class Method(Protocol):
    """One way to learn from data; the five steps of a training, in order."""

    def load(self, job: Job) -> Loaded:
        """The base model with what tuning adds to it, the same in every process."""
        ...

    def prepare(self, job: Job, loaded: Loaded) -> Sequence[Any]:
        """The training rows as token ids, each row as `build` wants it."""
        ...

    def build(self, job: Job, loaded: Loaded, rows: Sequence[Any], watched: Sequence[Any] = ()) -> Any:
        """A transformers Trainer over the rows, watched with others; none: nobody watches."""
        ...

    def train(self, job: Job, trainer: Any) -> Trained:
        """Trains to the end.

        Raises:
            DivergedError: the loss is no number any more.
        """
        ...

    def save(self, job: Job, loaded: Loaded, folder: Path) -> None:
        """Writes the tuned weights (adapter or whole model) and the tokenizer."""
        ...
