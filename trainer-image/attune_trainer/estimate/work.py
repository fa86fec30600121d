"""How much work a training is: sequences an epoch, optimizer steps, tokens, and the micro-batches they come in."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from attune_contract.enums import Method
from attune_contract.spec import Workload
from attune_trainer.data.encoding.text import SHORTEST_WINDOW
from attune_trainer.methods import batches

PAIRED = frozenset({Method.DPO, Method.ORPO})
"""Methods whose examples have two sides, both of which go through the model."""


@dataclass(frozen=True)
class Work:
    """One training, as numbers."""

    sequences: int
    """Of an epoch: examples, packed sequences or windows; what a batch is made of."""
    steps: int
    """Optimizer steps."""
    tokens: int
    """Through the model over the whole training, padding not counted; of pairs, both sides."""
    padded_tokens: int
    """The same with what fills micro-batches up."""
    longest: int
    """Tokens of the longest sequence; of a pair, of one side."""
    sides: int
    """Sequences that an example has: two for a pair."""
    plan: batches.BatchPlan

    @property
    def micro_tokens(self) -> int:
        """Tokens of the largest micro-batch, padding included."""
        return self.plan.micro * self.sides * self.longest

    @property
    def micro_batches(self) -> int:
        """Micro-batches of one process over the whole training."""
        return self.steps * self.plan.accumulation


def processes(work: Workload) -> int:
    """How many processes train together: one for each GPU, or for each pod on CPU."""
    return work.resources.nodes * max(1, work.resources.gpus_per_node)


def work(manifest: Workload, lengths: Mapping[int, int], sequence_length: int, packed: int | None) -> Work | None:
    """Counts a training.

    Args:
        manifest: method, batch, length and resources.
        lengths: rows of train by their tokens before cutting; of a pair, of the longer side; of a document, with its
            end-of-text.
        sequence_length: tokens that run and model allow.
        packed: sequences that packing makes of the rows; None where they are not packed.

    Returns:
        None where there is no row to train on.

    Raises:
        InvalidConfigurationError: the batch cannot be divided over the processes.
    """
    found = _sequences(manifest, lengths, sequence_length)
    whole = sum(length * n for length, n in found.items())
    if packed:
        found = _packed(found, packed, sequence_length)
    if not found:
        return None
    count, longest, sides = sum(found.values()), max(found), 2 if manifest.method in PAIRED else 1
    plan = plan_of(manifest, longest * sides)
    padded_count = count + batches.missing_rows(count, plan)
    steps = batches.total_steps(manifest.training, padded_count)
    epochs = _epochs(manifest, steps, padded_count)
    return Work(
        sequences=count,
        steps=steps,
        tokens=round(epochs * sides * whole),
        padded_tokens=round(epochs * sides * count * _mean_of_longest(found, plan.micro)),
        longest=longest,
        sides=sides,
        plan=plan,
    )


def plan_of(manifest: Workload, longest: int) -> batches.BatchPlan:
    """How the training will divide its batch; the same rule as in `methods/loop.py`."""
    at_once = batches.TOKENS_ON_GPU if manifest.resources.gpus_per_node else batches.TOKENS_ON_CPU
    least = batches.COMPARED if manifest.method is Method.KTO else 1
    return batches.plan(manifest.training.batch_size, processes(manifest), longest, at_once, least=least)


def _epochs(manifest: Workload, steps: int, sequences: int) -> float:
    """Passes over the rows; a last step of an epoch that is not full is a step all the same."""
    per_epoch = math.ceil(sequences / manifest.training.batch_size)
    whole, rest = divmod(steps, per_epoch)
    return whole + min(1.0, rest * manifest.training.batch_size / sequences)


def _sequences(manifest: Workload, lengths: Mapping[int, int], sequence_length: int) -> dict[int, int]:
    """How many sequences of which length an epoch has, before packing."""
    if manifest.method is Method.CONTINUED_PRETRAINING:
        return _windows(sum(length * n for length, n in lengths.items()), sequence_length, manifest.training.stride)
    cut: dict[int, int] = {}
    for length, rows in lengths.items():
        cut[min(length, sequence_length)] = cut.get(min(length, sequence_length), 0) + rows
    return cut


def _packed(rows: Mapping[int, int], packed: int, sequence_length: int) -> dict[int, int]:
    """About how long packed sequences are: their number is known, not the length of each, and most are nearly full."""
    mean = math.ceil(sum(length * n for length, n in rows.items()) / packed)
    return {mean: packed} if packed == 1 or mean >= sequence_length else {sequence_length: 1, mean: packed - 1}


def _windows(tokens: int, length: int, stride: int | None) -> dict[int, int]:
    """Windows of a text: as `TextEncoder.windows` cuts them."""
    if tokens < SHORTEST_WINDOW:
        return {}
    if tokens <= length:
        return {tokens: 1}
    step = min(stride or length, length)
    more = math.ceil((tokens - length) / step)
    last = tokens - more * step
    found = {length: more}
    if last >= SHORTEST_WINDOW:
        found[last] = found.get(last, 0) + 1
    return found


def _mean_of_longest(lengths: Mapping[int, int], of: int) -> float:
    """Expected length of the longest of `of` sequences drawn at random: what a micro-batch is filled up to.

    The sum over lengths of length times (F(length)^of - F(shorter)^of), with F the share of sequences not longer.
    """
    total, passed, mean = sum(lengths.values()), 0, 0.0
    for length in sorted(lengths):
        before = passed / total
        passed += lengths[length]
        mean += length * ((passed / total) ** of - before**of)
    return mean
