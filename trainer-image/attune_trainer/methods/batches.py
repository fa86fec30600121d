"""How `training.batchSize` examples per optimizer step are divided over processes and micro-batches."""

from dataclasses import dataclass

from attune_trainer.errors import InvalidConfigurationError

TOKENS_ON_GPU = 16_384
TOKENS_ON_CPU = 4_096
"""Tokens of a micro-batch, padding included: enough to keep the device busy, little enough to fit mostly anywhere."""


@dataclass(frozen=True)
class BatchPlan:
    """micro * accumulation * processes is the batch size, exactly."""

    micro: int
    """Examples that go through the model at once, per process."""
    accumulation: int
    """Micro-batches per optimizer step."""
    processes: int


def plan(batch_size: int, processes: int, longest: int, tokens_at_once: int) -> BatchPlan:
    """Divides a batch.

    Args:
        batch_size: examples per optimizer step, over all processes.
        processes: how many train together.
        longest: tokens of the longest example.
        tokens_at_once: tokens that one micro-batch may have.

    Raises:
        InvalidConfigurationError: the batch cannot be divided over the processes without a remainder.
    """
    share, rest = divmod(batch_size, processes)
    if rest:
        below, above = share * processes, (share + 1) * processes
        usable = f"{below} or {above}" if below else str(above)
        raise InvalidConfigurationError(
            f"spec.training.batchSize: {batch_size} cannot be divided over {processes} processes (one per GPU); "
            f"use {usable}."
        )
    fitting = max(1, tokens_at_once // max(1, longest))
    micro = max(d for d in range(1, share + 1) if share % d == 0 and d <= fitting)
    return BatchPlan(micro, share // micro, processes)


def missing_rows(rows: int, batch: BatchPlan) -> int:
    """Rows without labels to add, so that every process gets whole micro-batches and none gets a row twice.

    A lone process takes a last micro-batch of any size. A row without labels adds nothing to a loss that is a sum over
    labels divided by their number.
    """
    return -rows % (batch.micro * batch.processes) if batch.processes > 1 else 0
