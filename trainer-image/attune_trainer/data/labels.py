"""The labels of Classification: which there are, and whether the model can say them."""

from dataclasses import dataclass, field

from attune_trainer.data.encoding.base import RowEncoder
from attune_trainer.data.examples import Labeled
from attune_trainer.data.problems import Finding

MOST = 1_024
"""A column with more labels is hardly one of labels."""
_SHOWN = 10


@dataclass
class Labels:
    """Collects the labels of train, and knows which ones a row may have.

    Args:
        given: spec.classification.labels; empty: those of train.
        column: the file's name of the label.
    """

    given: tuple[str, ...]
    column: str
    first: dict[str, tuple[str, int]] = field(default_factory=dict)
    """File and line where each label of train was first met."""

    @property
    def all(self) -> tuple[str, ...]:
        """The labels, in the order of their numbers."""
        return self.given or tuple(sorted(self.first))

    @property
    def too_many(self) -> bool:
        """Whether train has more labels than a column of labels has; then they are no longer told one by one."""
        return not self.given and len(self.first) > MOST

    def finding(self, label: str, where: tuple[str, int], *, held_out: bool) -> Finding | None:
        """Takes one row's label; `unknown_label` where no row may have it. Rows of train come before those of test."""
        if self.given:
            if label not in self.given:
                return self._unknown(label, "spec.classification.labels has", self.given)
            self.first.setdefault(label, where)
        elif self.too_many:
            return None
        elif not held_out:
            self.first.setdefault(label, where)
        elif label not in self.first:
            return self._unknown(label, "the rows to train on have", self.all)
        return None

    def unsayable(self, encoder: RowEncoder[Labeled]) -> list[tuple[str, Finding]]:
        """Each label that is not one token of its own, with what is wrong.

        Args:
            encoder: knows all labels.
        """
        found = [(label, encoder.finding(Labeled("", "", label))) for label in self.all]
        return [(label, finding) for label, finding in found if finding]

    def _unknown(self, label: str, who: str, known: tuple[str, ...]) -> Finding:
        some = ", ".join(known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")
        return Finding("unknown_label", f"the label {label[:60]!r} is none of those that {who}: {some}", self.column)
