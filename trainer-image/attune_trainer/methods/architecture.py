"""As what the models of a run are loaded for use: language models, or models with a classification head."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from attune_contract.enums import ClassificationStyle, Method, TuningType
from attune_contract.spec import Workload
from attune_trainer.data import canonical
from attune_trainer.data.encoding.labeled import label_set
from attune_trainer.methods import loading


def labels_of(work: Workload, train: Path) -> tuple[str, ...]:
    """The labels in the order of their numbers; none where the method is not Classification.

    Args:
        work: the manifest's blocks.
        train: parquet of the training rows.
    """
    if work.method is not Method.CLASSIFICATION:
        return ()
    return label_set(work, (row.label for row in canonical.read(train, canonical.LABELED)))


@dataclass(frozen=True)
class Architecture:
    """Loads base and tuned models the way training did.

    Args:
        work: the manifest's blocks.
        labels: of Classification, in the order of their numbers.
        padding: a token id to fill up with.
        trust_remote_code: whether models may bring their own code.
    """

    work: Workload
    labels: tuple[str, ...]
    padding: int
    trust_remote_code: bool

    @property
    def has_head(self) -> bool:
        """Whether a classification head takes the place of the language model's."""
        head = self.work.resolved_classification().style is ClassificationStyle.HEAD
        return self.work.method is Method.CLASSIFICATION and head

    def load(self, folder: Path, dtype: Any, **more: Any) -> Any:
        """A whole model from a folder; a head that the folder lacks is drawn as training drew it.

        Args:
            folder: config and weights.
            dtype: precision of the weights.
            more: what else `from_pretrained` is told, such as how to quantise.

        Raises:
            InvalidConfigurationError: transformers cannot make such a model of it.
        """
        if not self.has_head:
            return loading.causal_lm(folder, dtype, trust_remote_code=self.trust_remote_code, **more)
        set_seed(self.work.training.seed)
        # Full training draws in float32, and the same seed gives other numbers in another precision.
        drawn = torch.float32 if self.work.tuning.type is TuningType.FULL else dtype
        model, _ = loading.classifier(
            folder, drawn, self.labels, self.padding, trust_remote_code=self.trust_remote_code, **more
        )
        return model if drawn is dtype else model.to(dtype)
