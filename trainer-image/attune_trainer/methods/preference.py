"""What the methods that train with TRL have in common: our rows and settings, TRL's loss.

With several processes, each must get equally many whole micro-batches, so the last rows of an epoch are filled up with
some that were there already: fewer than a micro-batch for each process. A row from which nothing is learnt, as other
methods add, does not exist here: these losses are means over rows. The report says how many are repeated.

TRL is imported where it is used: it takes seconds, and only DPO, ORPO and KTO need it.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PrinterCallback

from attune_contract.enums import TuningType
from attune_contract.spec import Workload
from attune_trainer.data.encoding.ids import IdLists
from attune_trainer.data.encoding.pairs import EncodedPair
from attune_trainer.errors import InvalidConfigurationError
from attune_trainer.methods import watching
from attune_trainer.methods.base import Job, Loaded
from attune_trainer.methods.reporting import Reporter

BETA = 0.1
"""Strength of the preference loss where the manifest does not say: the value of all three papers."""


class PairRows(Sequence[EncodedPair]):
    """Many pairs, four bytes per token.

    Args:
        rows: read once.
    """

    def __init__(self, rows: Iterable[EncodedPair]) -> None:
        self._ids = IdLists()
        for row in rows:
            self._ids.extend((row.prompt, row.chosen, row.rejected))

    def __len__(self) -> int:
        return len(self._ids) // 3

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return EncodedPair(*(self._ids[3 * index + part] for part in range(3)))


def beta(work: Workload) -> float:
    """Strength of the preference loss."""
    return BETA if work.training.beta is None else work.training.beta


def check(job: Job) -> None:
    """Refuses what TRL's losses cannot do: they multiply by the output head's weights themselves.

    Raises:
        InvalidConfigurationError: the output head is to get an adapter.
    """
    heads = {"lm_head", "embed_out"} & {name.rsplit(".", 1)[-1] for name in job.work.tuning.target_modules}
    if heads and job.work.tuning.type is not TuningType.FULL:
        raise InvalidConfigurationError(
            f"spec.tuning.targetModules: {', '.join(sorted(heads))} cannot be tuned with method "
            f"{job.work.method.value}; leave it out."
        )


def reference(job: Job, loaded: Loaded) -> Any:
    """What the tuned model is compared with: a frozen copy for Full, else None: the base with the adapter off.

    The copy has the precision of the model that is trained, so that at first both say exactly the same.
    """
    if job.work.tuning.type is not TuningType.FULL:
        return None
    frozen = copy.deepcopy(loaded.model)
    return frozen.requires_grad_(requires_grad=False).eval()


def repeated_rows(trainer: Any) -> int:
    """Rows that an epoch has twice, so that all processes have equally many."""
    given = trainer.args
    return repeated(len(trainer.train_dataset), given.per_device_train_batch_size, given.world_size)


def repeated(rows: int, micro: int, processes: int) -> int:
    """Rows that an epoch has twice; as accelerate's `even_batches` fills up.

    Args:
        rows: of the data.
        micro: rows of a micro-batch.
        processes: how many train together; a lone one takes a last micro-batch of any size.
    """
    return -rows % (micro * processes) if processes > 1 else 0


def reference_in_words(job: Job) -> str:
    """What the reference is, for the report."""
    return "a frozen copy of the base" if job.work.tuning.type is TuningType.FULL else "the base with the adapter off"


@contextmanager
def padding_kept(model: Any) -> Iterator[None]:
    """Gives a model back the padding token that its configuration names: TRL overwrites it with the tokenizer's."""
    configs = [model.config.get_text_config(), model.generation_config]
    before = [config.pad_token_id for config in configs]
    yield
    for config, padding in zip(configs, before, strict=True):
        config.pad_token_id = padding


def finish(job: Job, loaded: Loaded, trainer: Any, watched: Any = None) -> Any:
    """Undoes what TRL does to a model that it is given, and reports as every method does.

    Args:
        job: the training.
        loaded: its model.
        trainer: TRL's.
        watched: its dataset of rows that are not learnt; None: nobody watches.
    """
    if "ref" in getattr(loaded.model, "peft_config", {}):  # a copy of an adapter that is still nothing
        loaded.model.delete_adapter("ref")
    for parameter in loaded.model.parameters():
        if parameter.requires_grad:  # TRL makes bfloat16 of adapters over 4-bit weights; small steps get lost in it
            parameter.data = parameter.data.to(torch.float32)
    trainer.processing_class = None  # or the Trainer would give the model the tokenizer's special tokens
    reporter = Reporter(job)
    trainer.add_callback(reporter)
    trainer.remove_callback(PrinterCallback)
    watching.attach(job, trainer, watched, reporter.stopwatch)
    return trainer
