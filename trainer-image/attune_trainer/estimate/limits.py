"""What stands against an estimate: memory that is not there, a budget that is too small. And what would fit."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from attune_contract.enums import TuningType
from attune_contract.quantities import duration_text, memory_text, quantity, seconds
from attune_contract.spec import Budget
from attune_trainer.errors import DoesNotFitError, EstimateRefusedError, InvalidConfigurationError, OverBudgetError
from attune_trainer.estimate import duration
from attune_trainer.estimate.figures import Case, Figures, figures
from attune_trainer.estimate.memory import LIBRARIES_ON_CPU

SURE = 0.85
"""An estimate of memory is good to 15 %: a run is refused only where even so much less would not fit."""
_FLOAT = 4
_SHORTEST = 128
_MORE = (2, 4, 8)


@dataclass(frozen=True)
class Refusal:
    """Why a run cannot go as it is asked for, and what would go."""

    kind: type[EstimateRefusedError]
    message: str


def refusal(case: Case, found: Figures, budget: Budget | None) -> Refusal | None:
    """What stands against an estimate; None where nothing does.

    Memory comes first: what does not fit has no cost.
    """
    if message := _too_large(case, found) or _too_large_to_publish(case):
        return Refusal(DoesNotFitError, message)
    if message := _too_dear(case, found, budget or Budget()):
        return Refusal(OverBudgetError, message)
    return None


def _available(case: Case) -> Decimal | None:
    """Bytes of an accelerator or, on CPU, of a pod; None where nobody said."""
    resources, runtime = case.manifest.resources, case.runtime
    if not resources.gpus_per_node:
        return quantity(resources.memory)
    return quantity(runtime.accelerator_memory) if runtime.accelerator_memory else None


def _fits(case: Case, found: Figures | None, share: float = 1.0) -> bool:
    """Whether a share of the memory that an estimate says is there; so it is where nobody said how much is."""
    there = _available(case)
    return found is not None and (there is None or found.memory is None or share * found.memory.total <= there)


def _too_large(case: Case, found: Figures) -> str:
    there = _available(case)
    if _fits(case, found, SURE) or there is None or found.memory is None:
        return ""
    on_gpu = case.manifest.resources.gpus_per_node > 0
    whose = "an accelerator of the runtime has" if on_gpu else "spec.resources.memory is"
    larger = "accelerators" if on_gpu else "spec.resources.memory"
    need = memory_text(found.memory.total)
    ways = [f"{words} ({memory_text(changed.memory.total)})" for words, changed in _smaller(case) if changed.memory]
    return (
        f"Training would need about {need} of memory, and {whose} {memory_text(float(there))}. What would fit: "
        f"{'; '.join([*ways, f'{larger} of {need}'])}."
    )


def _too_large_to_publish(case: Case) -> str:
    """Publish proves the model on CPU in float32: more host memory than a training on a GPU has to have."""
    resources, model = case.manifest.resources, case.model
    if not resources.gpus_per_node or model is None:
        return ""  # on CPU, training holds the same weights in the same precision, and more
    need, there = memory_text(size := LIBRARIES_ON_CPU + model.count * _FLOAT), quantity(resources.memory)
    if size * SURE <= there:
        return ""
    return (
        f"Before it is published the model is loaded once more, on CPU in float32, which needs about {need} of memory, "
        f"and spec.resources.memory is {memory_text(float(there))}. Set it to {need} or more."
    )


def _smaller(case: Case) -> Iterator[tuple[str, Figures]]:
    """Changes of the manifest, each by itself enough, that fit; where none is, all of them together."""
    ways = [
        _first(case, "tuning.type LoRA", _tunings(case, TuningType.LORA)),
        _first(case, "tuning.type QLoRA", _tunings(case, TuningType.QLORA)),
        _first(case, "training.batchSize {}", _batches(case)),
        _first(case, "training.sequenceLength {}", _sequence_lengths(case)),
        _first(case, "resources.gpusPerNode {}", _more_gpus(case)),
    ]
    fitting = [way for way in ways if way]
    yield from fitting
    if not fitting and (way := _everything(case)):
        yield way


def _everything(case: Case) -> tuple[str, Figures] | None:
    kind = TuningType.QLORA if case.manifest.resources.gpus_per_node else TuningType.LORA
    smallest = next(iter([c for _, c in _tunings(case, kind)]), case)
    *_, (batch, smallest) = [(case.manifest.training.batch_size, smallest), *_batches(smallest)]
    words = f"tuning.type {smallest.manifest.tuning.type} with training.batchSize {batch} and sequenceLength {{}}"
    return _first(case, words, iter([(case.sequence_length, smallest), *_sequence_lengths(smallest)]))


def _first(case: Case, words: str, changed: Iterator[tuple[Any, Case]]) -> tuple[str, Figures] | None:
    for value, other in changed:
        if other != case and _fits(other, found := _figures(other)) and found:
            return words.format(value), found
    return None


def _figures(case: Case) -> Figures | None:
    try:
        return figures(case)
    except InvalidConfigurationError:  # a batch that cannot be divided so
        return None


def _changed(case: Case, block: str, **fields: Any) -> Case:
    part = getattr(case.manifest, block).model_copy(update=fields)
    return replace(case, manifest=case.manifest.model_copy(update={block: part}))


def _tunings(case: Case, kind: TuningType) -> Iterator[tuple[str, Case]]:
    order = list(TuningType)
    lighter = {TuningType.FULL: order[:2], TuningType.LORA: [TuningType.QLORA]}.get(case.manifest.tuning.type, [])
    if kind in lighter and (kind is TuningType.LORA or case.manifest.resources.gpus_per_node):
        yield kind.value, _changed(case, "tuning", type=kind)


def _batches(case: Case) -> Iterator[tuple[int, Case]]:
    size = case.manifest.training.batch_size
    while size % 2 == 0:
        size //= 2
        if _figures(smaller := _changed(case, "training", batch_size=size)) is None:
            return
        yield size, smaller


def _sequence_lengths(case: Case) -> Iterator[tuple[int, Case]]:
    length = 2 ** math.floor(math.log2(max(1, case.sequence_length - 1)))
    while length >= _SHORTEST:
        stride = case.manifest.training.stride
        yield length, _changed(case, "training", sequence_length=length, stride=stride and min(stride, length))
        length //= 2


def _more_gpus(case: Case) -> Iterator[tuple[int, Case]]:
    gpus = case.manifest.resources.gpus_per_node
    for times in _MORE if gpus else ():
        yield gpus * times, _changed(case, "resources", gpus_per_node=gpus * times)


def _too_dear(case: Case, found: Figures, budget: Budget) -> str:
    if found.seconds is None:
        return ""
    low, over, raised = found.seconds.low, [], []
    money = duration.cost(low, case.manifest.resources, case.runtime)
    if budget.max_cost is not None and money > Decimal(budget.max_cost):
        cost = f"{money} {case.runtime.currency}"
        over.append(f"Training would cost at least {cost}, and spec.budget.maxCost is {budget.max_cost}.")
        raised.append(f"budget.maxCost {money}")
    if budget.max_duration is not None and low > seconds(budget.max_duration):
        length = duration_text(low)
        over.append(f"Training would take at least {length}, and spec.budget.maxDuration is {budget.max_duration}.")
        raised.append(f"budget.maxDuration {math.ceil(low / 60)}m")
    if not over:
        return ""
    ways = [*_cheaper(case, found, budget), " and ".join(raised)]
    return f"{' '.join(over)} What would fit: {'; '.join(ways)}."


def _within(case: Case, found: Figures | None, budget: Budget) -> bool:
    if found is None or found.seconds is None or not _fits(case, found, SURE):
        return False
    low = found.seconds.low
    dear = budget.max_cost is not None and duration.cost(low, case.manifest.resources, case.runtime) > Decimal(
        budget.max_cost
    )
    return not dear and not (budget.max_duration is not None and low > seconds(budget.max_duration))


def _cheaper(case: Case, found: Figures, budget: Budget) -> Iterator[str]:
    for words, changed in (
        ("tuning.type LoRA", _tunings(case, TuningType.LORA)),
        ("resources.gpusPerNode {}", _more_gpus(case)),
        ("training.sequenceLength {}", _sequence_lengths(case)),
    ):
        for value, other in changed:
            if _within(other, _figures(other), budget):
                yield words.format(value)
                break
    if fewer := _fewer_steps(case, found, budget):
        yield fewer


def _fewer_steps(case: Case, found: Figures, budget: Budget) -> str:
    """The longest training that the budget allows, found by halving: the low estimate grows with every step."""
    low, high = 0, found.work.steps
    while high - low > 1:
        middle = (low + high) // 2
        other = _changed(case, "training", max_steps=middle, epochs=None)
        low, high = (middle, high) if _within(other, _figures(other), budget) else (low, middle)
    if not low:
        return ""
    if case.manifest.training.max_steps is not None:
        return f"training.maxSteps {low}"
    epochs = (case.manifest.training.epochs or 1) * low / found.work.steps
    return f"training.epochs {math.floor(epochs * 100) / 100:g}" if epochs >= 0.01 else f"training.maxSteps {low}"  # noqa: PLR2004 - two digits
