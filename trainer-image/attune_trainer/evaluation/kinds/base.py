"""What a kind of scoring is given, and what it can do: from a model and some rows to figures, and what these mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from attune_contract.enums import MetricName
from attune_contract.spec import Metric as Asked
from attune_contract.spec import Workload
from attune_trainer.data import canonical
from attune_trainer.data.examples import Example
from attune_trainer.evaluation.forward import Forward
from attune_trainer.evaluation.prompting import PLAIN, Prompting
from attune_trainer.evaluation.scores import Score
from attune_trainer.evaluation.textmetrics.base import Description, Metric

Metrics = Mapping[MetricName, Metric[Any, Any]]


@dataclass(frozen=True)
class Given:
    """What every kind is made from.

    Args:
        work: the manifest's blocks.
        encoder: the encoder that training ran on; for another model, the same with its tokenizer.
        labels: of Classification, in the order of their numbers.
        train: parquet of the rows that were learnt.
        test: parquet of the held-out rows.
        metrics: those asked for.
        forward: passes through a model.
        prompting: what goes before each prompt.
    """

    work: Workload
    encoder: Any
    labels: tuple[str, ...]
    train: Path
    test: Path
    metrics: tuple[Asked, ...]
    forward: Forward
    prompting: Prompting = PLAIN

    @property
    def names(self) -> tuple[MetricName, ...]:
        """The metrics' names."""
        return tuple(metric.name for metric in self.metrics)

    def held_out(self) -> list[Any]:
        """The held-out rows."""
        return list(canonical.read(self.test, canonical.kind_of(self.work.method)))

    def as_asked(self, examples: Sequence[Any]) -> list[Any]:
        """The rows with what goes before their prompts."""
        return [self.prompting.before(example) for example in examples]


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
    """One way to score held-out rows. Rows are tokenised when it is made, once for all models of a tokenizer."""

    @property
    def rows(self) -> Sequence[Row]:
        """The held-out rows, in order."""
        ...

    def metrics(self) -> Metrics:
        """The metrics that `score` takes, by name, in the order in which they were asked for."""
        ...

    def about(self) -> Mapping[MetricName, Description]:
        """What they mean here."""
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
