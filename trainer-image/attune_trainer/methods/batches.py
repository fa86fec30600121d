"""How `training.batchSize` examples per optimizer step are divided over processes and micro-batches. No torch here."""

import math
from dataclasses import dataclass

from attune_contract.spec import Training
from attune_trainer.errors import InvalidConfigurationError

TOKENS_ON_GPU = 16_384
TOKENS_ON_CPU = 4_096
"""Tokens of a micro-batch, padding included: enough to keep the device busy, little enough to fit mostly anywhere."""
COMPARED = 2
"""Rows of a micro-batch of KTO at least: with one, the KL term would be the reward itself."""
LARGE = 1_000_000_000
"""Parameters from which activations are computed again on an accelerator instead of kept."""


@dataclass(frozen=True)
class BatchPlan:
    """micro * accumulation * processes is the batch size, exactly."""

    micro: int
    """Examples that go through the model at once, per process."""
    accumulation: int
    """Micro-batches per optimizer step."""
    processes: int


def plan(
    batch_size: int, processes: int, longest: int, tokens_at_once: int, *, most: int | None = None, least: int = 1
) -> BatchPlan:
    """Divides a batch.

    Args:
        batch_size: examples per optimizer step, over all processes.
        processes: how many train together.
        longest: tokens of the longest example; of a pair, of both its sides.
        tokens_at_once: tokens that one micro-batch may have.
        most: examples that one micro-batch may have, where memory allows no more; None: as many as the tokens allow.
        least: examples that one micro-batch must have, where the loss is over several (KTO).

    Raises:
        InvalidConfigurationError: the batch cannot be divided over the processes without a remainder, or leaves fewer
            examples to each than the loss needs.
    """
    share, rest = divmod(batch_size, processes)
    if rest:
        below, above = share * processes, (share + 1) * processes
        usable = f"{below} or {above}" if below else str(above)
        raise InvalidConfigurationError(
            f"spec.training.batchSize: {batch_size} cannot be divided over {processes} processes (one per GPU); "
            f"use {usable}."
        )
    if share < least:
        raise InvalidConfigurationError(
            f"spec.training.batchSize: {batch_size} leaves {share} to each process, and this method compares at least "
            f"{least} examples with each other; use {least * processes} or more."
        )
    fitting = max(1, tokens_at_once // max(1, longest))
    limit = fitting if most is None else min(fitting, most)
    divisors = [d for d in range(least, share + 1) if share % d == 0]
    micro = max((d for d in divisors if d <= limit), default=divisors[0])
    return BatchPlan(micro, share // micro, processes)


def total_steps(training: Training, rows: int) -> int:
    """Optimizer steps of a whole training, as the Trainer counts them: the last one of an epoch may be smaller.

    Args:
        training: the manifest's block.
        rows: what a batch is made of: examples, packed sequences or windows.
    """
    per_epoch = math.ceil(rows / training.batch_size)
    return training.max_steps or math.ceil((training.epochs or 1) * per_epoch)


def missing_rows(rows: int, batch: BatchPlan) -> int:
    """Rows without labels to add, so that every process gets whole micro-batches and none gets a row twice.

    A lone process takes a last micro-batch of any size. A row without labels adds nothing to a loss that is a sum over
    labels divided by their number. The losses over pairs and ratings are no such sums: there, rows are repeated instead
    (see `methods/preference.py`).
    """
    return -rows % (batch.micro * batch.processes) if batch.processes > 1 else 0
