"""The estimate whole: memory, time and money of a training, and in sentences what they rest on."""

from collections.abc import Mapping
from dataclasses import dataclass

from attune_contract.enums import Method, TuningType
from attune_contract.outcome import CostRange, DurationRange, Estimate
from attune_contract.quantities import duration_text, memory_text
from attune_contract.runconfig import RuntimeFacts
from attune_contract.spec import Workload
from attune_trainer.data.figures import packed
from attune_trainer.estimate import duration
from attune_trainer.estimate.memory import Memory, memory, recomputes
from attune_trainer.estimate.model import Weights, trainable
from attune_trainer.estimate.work import PAIRED, Work, work


@dataclass(frozen=True)
class Case:
    """All that an estimate follows from."""

    manifest: Workload
    runtime: RuntimeFacts
    model: Weights | None
    """None where neither the model's files nor its config tell enough."""
    lengths: Mapping[int, int]
    """Rows of train by their tokens before cutting; of a pair, of its longer side."""
    positions: int
    """The longest sequence that the model has positions for."""

    @property
    def sequence_length(self) -> int:
        """Tokens that both the manifest and the model allow."""
        return min(self.manifest.training.sequence_length, self.positions)


@dataclass(frozen=True)
class Figures:
    """One estimate, as numbers."""

    work: Work
    memory: Memory | None = None
    seconds: duration.Range | None = None


def figures(case: Case) -> Figures | None:
    """Works an estimate out; None where there is no row to train on.

    Raises:
        InvalidConfigurationError: the batch cannot be divided over the processes.
    """
    manifest, limit = case.manifest, case.sequence_length
    sequences = packed(case.lengths, limit) if manifest.training.packing else None
    counted = work(manifest, case.lengths, limit, sequences)
    if counted is None or case.model is None:
        return Figures(counted) if counted else None
    return Figures(
        work=counted,
        memory=memory(case.model, manifest, counted),
        seconds=duration.seconds(case.model, manifest, counted, case.runtime),
    )


def estimate(case: Case, found: Figures) -> Estimate:
    """The same for the resource's status."""
    resources, runtime, length = case.manifest.resources, case.runtime, found.seconds
    priced = length is not None and duration.price_of_an_hour(resources, runtime) > 0
    money = [str(duration.cost(s, resources, runtime)) for s in (length.low, length.high)] if length and priced else []
    return Estimate(
        steps=found.work.steps,
        tokens=found.work.tokens,
        memory_per_gpu=memory_text(found.memory.total) if found.memory else None,
        duration=DurationRange(low=duration_text(length.low), high=duration_text(length.high)) if length else None,
        cost=CostRange(low=money[0], high=money[1], currency=runtime.currency) if money else None,
        assumptions=tuple(_assumptions(case, found)),
    )


def _assumptions(case: Case, found: Figures) -> list[str]:
    said = [_of_steps(case, found.work)]
    if case.model is None or found.memory is None:
        return [*said, "The model's sizes are not known, so neither memory nor time is estimated."]
    said += [_of_model(case, case.model), _of_memory(case, found.work, found.memory)]
    if found.seconds is None:
        return [*said, "The runtime does not say its accelerator's tflops, so neither time nor cost is estimated."]
    return [*said, _of_operations(case, case.model, found.work), _of_speed(case), *_of_rest(case, case.model)]


def _of_steps(case: Case, counted: Work) -> str:
    manifest = case.manifest
    if manifest.method is Method.CONTINUED_PRETRAINING:
        unit = f"windows of {case.sequence_length} tokens"
    elif manifest.training.packing:
        unit = "packed sequences"
    else:
        unit = "pairs" if manifest.method in PAIRED else "examples"
    sides = "; of a pair both sides are taken to be as long as the longer one" if manifest.method in PAIRED else ""
    return (
        f"An epoch has {counted.sequences} {unit}, a step {manifest.training.batch_size}; {counted.tokens} tokens go "
        f"through the model, {counted.padded_tokens} with padding in micro-batches of {counted.plan.micro}{sides}."
    )


def _of_model(case: Case, model: Weights) -> str:
    whence = "by the headers of its files" if model.exact else "by its config.json"
    changed = trainable(model, case.manifest).parameters
    return f"The model has {model.count} parameters ({whence}), and {changed} are trained."


def _of_memory(case: Case, counted: Work, need: Memory) -> str:
    where = "accelerator" if case.manifest.resources.gpus_per_node else "pod"
    parts = ", ".join(f"{name} {memory_text(size)}" for name, size in vars(need).items() if size)
    again = ", activations computed again" if case.model and recomputes(case.model, case.manifest) else ""
    return f"Memory of each {where}, good to 15 %, at {counted.micro_tokens} tokens at once{again}: {parts}."


def _of_operations(case: Case, model: Weights, counted: Work) -> str:
    passes = duration.per_token(model, case.manifest)
    parts = ["6 for training all" if case.manifest.tuning.type is TuningType.FULL else "4 for training adapters"]
    parts += ["2 for computing activations again"] if recomputes(model, case.manifest) else []
    parts += ["2 for the reference"] if case.manifest.method in {Method.DPO, Method.KTO} else []
    parts += ["4 for the KL term"] if case.manifest.method is Method.KTO else []
    total = duration.operations(model, case.manifest, counted)
    return (
        f"{passes} floating-point operations for each token and each of {model.multiplied} parameters that multiply "
        f"({', '.join(parts)}): {total:.2g} in all."
    )


def _of_speed(case: Case) -> str:
    low, high = duration.UTILISATION
    peak = case.runtime.accelerator_tflops
    if case.manifest.resources.gpus_per_node and peak is not None:
        return f"Each accelerator does {low * peak:.0f} to {high * peak:.0f} of its {peak:g} TFLOP/s."
    low, high = duration.GFLOPS_PER_CORE
    return f"Each of {case.manifest.resources.cpu} CPU cores does {low:g} to {high:g} GFLOP/s in float32."


def _of_rest(case: Case, model: Weights) -> list[str]:
    slow, fast = (rate / 1e9 for rate in duration.DOWNLOAD_RATE)
    start = (
        f"The model's {model.stored_bytes / 1e9:.2g} GB arrive at {slow:g} to {fast:g} GB/s, and a pod starts in "
        f"{duration.START[0]:.0f} to {duration.START[1]:.0f} s."
    )
    runtime, resources = case.runtime, case.manifest.resources
    if not duration.price_of_an_hour(resources, runtime):
        return [start, "The runtime has no prices, so no cost is estimated."]
    prices = f"{runtime.price_per_gpu_hour} a GPU hour and {runtime.price_per_cpu_hour} a core hour"
    return [start, f"Cost is that of training alone, at {prices} ({runtime.currency})."]
