"""What a kind of scoring is given, and what it can do: from a model and some rows to figures, and what these mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from attune_contract.enums import MetricName
from attune_contract.spec import Workload
from attune_trainer.data import canonical
from attune_trainer.data.examples import Example
from attune_trainer.evaluation.forward import Forward
from attune_trainer.evaluation.measures import Measure, Score


@dataclass(frozen=True)
class Given:
    """What every kind is made from.

    Args:
        work: the manifest's blocks.
        encoder: the encoder that training ran on.
        labels: of Classification, in the order of their numbers.
        train: parquet of the rows that were learnt.
        test: parquet of the held-out rows.
        metrics: those asked for.
        forward: passes through a model.
    """

    work: Workload
    encoder: Any
    labels: tuple[str, ...]
    train: Path
    test: Path
    metrics: tuple[MetricName, ...]
    forward: Forward

    def held_out(self) -> list[Any]:
        """The held-out rows."""
        return list(canonical.read(self.test, canonical.kind_of(self.work.method)))


@dataclass(frozen=True)
class Row:
    """One held-out row, as predictions.jsonl names it."""

    row_id: str
    prompt_digest: str
    shown: dict[str, Any] = field(default_factory=dict)
    """What is shown of it beside: the expected answer, for one."""

    @classmethod
    def of(cls, example: Example, **shown: Any) -> "Row":
        """The row of an example."""
        return cls(example.row_id, example.prompt_digest(), shown)


class Kind(Protocol):
    """One way to score held-out rows. Rows are tokenised when it is made, once for all models."""

    @property
    def rows(self) -> Sequence[Row]:
        """The held-out rows, in order."""
        ...

    def measures(self) -> Mapping[MetricName, Measure]:
        """What the metrics mean here, from the figures of `score`."""
        ...

    def batches(self) -> list[list[int]]:
        """Indices of rows in groups, the same for every model."""
        ...

    def ready(self, model: Any) -> None:
        """Sets on a loaded model what scoring needs of it."""
        ...

    def score(self, model: Any, batch: list[int]) -> list[Score]:
        """What a model makes of some rows, with neither gradient nor dropout."""
        ...

    def details(self) -> dict[str, Any]:
        """What the report tells of how it was scored."""
        ...
