"""How long training takes and what that costs, low and high.

Sources: 6 N floating-point operations a token for forward and backward (Kaplan et al. 2020, section 2.1); 4 N where the
weights are frozen, whose gradients are half of the backward pass; 2 N more where activations are computed again
(Chen et al. 2016); the share of peak that trainings reach: Chowdhery et al. 2022 (PaLM), table 3.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from attune_contract.enums import Method, TuningType
from attune_contract.quantities import quantity
from attune_contract.runconfig import RuntimeFacts
from attune_contract.spec import Resources, Workload
from attune_trainer.estimate.memory import recomputes
from attune_trainer.estimate.model import Weights
from attune_trainer.estimate.work import Work, processes

UTILISATION = (0.25, 0.5)
"""Share of an accelerator's peak that a training reaches, low and high."""
GFLOPS_PER_CORE = (4.0, 40.0)
"""What a core does in float32, low (small matrices, old machines) and high (wide vectors, large matrices)."""
DOWNLOAD_RATE = (100_000_000, 1_000_000_000)
"""Bytes a second at which the model arrives, low and high."""
START = (10.0, 60.0)
"""Seconds until a pod has imported its libraries, low and high."""
OVERHEAD_PER_LAYER = (0.0001, 0.002)
"""Seconds that every layer costs in every micro-batch, however small: the calls themselves, low and high."""
_HOUR = Decimal(3600)
_CENT = Decimal("0.01")


@dataclass(frozen=True)
class Range:
    """A figure between two bounds."""

    low: float
    high: float


def operations(model: Weights, manifest: Workload, work: Work) -> float:
    """Floating-point operations of a whole training.

    Args:
        model: the base; N are its parameters that multiply.
        manifest: tuning and method.
        work: its tokens, with padding: what fills a micro-batch up is computed too.
    """
    return per_token(model, manifest) * model.multiplied * work.padded_tokens


def per_token(model: Weights, manifest: Workload) -> int:
    """Operations for each parameter and token: 6 or 4, and 2 for every further pass forward."""
    passes = 6 if manifest.tuning.type is TuningType.FULL else 4
    if recomputes(model, manifest):
        passes += 2
    if manifest.method in {Method.DPO, Method.KTO}:
        passes += 2  # the reference
    if manifest.method is Method.KTO:
        passes += 4  # the neighbours' answers, by model and reference, for the KL term
    return passes


def seconds(model: Weights, manifest: Workload, work: Work, runtime: RuntimeFacts) -> Range | None:
    """Time from the pod's start to the last step; None where nobody said how fast the accelerator is."""
    speed = _speed(manifest.resources, runtime)
    if speed is None:
        return None
    flops = operations(model, manifest, work) / processes(manifest)
    calls = work.micro_batches * model.shape.layers
    low = flops / speed.high + calls * OVERHEAD_PER_LAYER[0] + START[0] + model.stored_bytes / DOWNLOAD_RATE[1]
    high = flops / speed.low + calls * OVERHEAD_PER_LAYER[1] + START[1] + model.stored_bytes / DOWNLOAD_RATE[0]
    return Range(low, high)


def _speed(resources: Resources, runtime: RuntimeFacts) -> Range | None:
    """Operations a second of one process."""
    if not resources.gpus_per_node:
        cores = max(1, round(quantity(resources.cpu)))
        return Range(*(cores * each * 1e9 for each in GFLOPS_PER_CORE))
    if runtime.accelerator_tflops is None:
        return None
    return Range(*(share * runtime.accelerator_tflops * 1e12 for share in UTILISATION))


def price_of_an_hour(resources: Resources, runtime: RuntimeFacts) -> Decimal:
    """What all pods of a training cost in an hour."""
    gpus = resources.gpus_per_node * Decimal(runtime.price_per_gpu_hour)
    return resources.nodes * (gpus + quantity(resources.cpu) * Decimal(runtime.price_per_cpu_hour))


def cost(length: float, resources: Resources, runtime: RuntimeFacts) -> Decimal:
    """What a training of so many seconds costs, to the cent."""
    return (Decimal(length) / _HOUR * price_of_an_hour(resources, runtime)).quantize(_CENT, ROUND_HALF_UP)
