"""How much memory training needs: of each accelerator or, on CPU, of each pod. Part by part, in bytes.

Sources: the parts and their sizes per parameter are those of Rajbhandari et al. 2020 (ZeRO), section 3; what a layer
keeps for the backward pass follows Korthikanti et al. 2022, section 4.1, counted anew for gated MLPs, adapters and an
attention that keeps no scores, and checked against torch's own list of saved tensors.
"""

from dataclasses import dataclass

from attune_contract.enums import Method, TuningType
from attune_contract.spec import Workload
from attune_trainer.estimate.model import Trainable, Weights, trainable
from attune_trainer.estimate.work import PAIRED, Work
from attune_trainer.methods import batches

_MIB = 2**20
LIBRARIES_ON_CPU = 970 * _MIB
"""Python, torch, transformers and peft once they are imported: resident, measured."""
LIBRARIES_ON_GPU = 1024 * _MIB
"""CUDA's context, its libraries' workspaces and what the caching allocator leaves over."""
ADAM_BYTES = 8
"""Two moments in float32 for each trained parameter."""
_FLOAT, _HALF = 4, 2
_NF4 = 0.5 + 0.127 / 8
"""Bytes of a weight in 4 bits, with its doubly quantised constants (Dettmers et al. 2023, section 3)."""
_GAPS_FULL, _GAPS_ADAPTER = 0.3, 0.9
"""What the allocator of the C library takes on CPU beside the activations that are kept, as a share of these (dropout's
apart): it hardly fills the gaps that temporary tensors leave between kept ones, and adapters make more of those. It
grows over the first ten steps or so. Measured."""
_LOGITS_ON_CPU, _LOGITS_ON_GPU = 12, 14
"""Bytes for each logit while the loss is computed: the logits, their shifted copy and log-probabilities, or in the
backward pass these and their gradients; on a GPU in bfloat16 at first."""
_LOGITS_IN_CHUNKS = 2
"""The same for DPO, ORPO and KTO, about: TRL computes log-probabilities piece by piece."""


@dataclass(frozen=True)
class Memory:
    """Bytes, part by part."""

    libraries: int
    weights: int
    reference: int
    """A frozen copy of the base (DPO and KTO with Full tuning)."""
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All of it."""
        return sum(vars(self).values())


def memory(model: Weights, manifest: Workload, work: Work) -> Memory:
    """What one process needs at its peak.

    Args:
        model: the base.
        manifest: tuning, method and resources.
        work: the micro-batches.
    """
    on_gpu, changes = manifest.resources.gpus_per_node > 0, trainable(model, manifest)
    weights = _weights(model, manifest, changes, on_gpu=on_gpu)
    per_token = activations_per_token(model, manifest, changes, recomputed=recomputes(model, manifest))
    if not on_gpu:
        steady = manifest.model_copy(update={"tuning": manifest.tuning.model_copy(update={"dropout": 0.0})})
        per_token += (_GAPS_ADAPTER if changes.adapted else _GAPS_FULL) * _layers_on_cpu(model, steady, changes)
    return Memory(
        libraries=LIBRARIES_ON_GPU if on_gpu else LIBRARIES_ON_CPU,
        weights=weights,
        reference=model.count * _FLOAT if has_copy(manifest) else 0,
        gradients=changes.parameters * _FLOAT,
        optimizer=changes.parameters * ADAM_BYTES,
        activations=round(per_token * work.micro_tokens),
        logits=_logits(model, manifest, work, on_gpu=on_gpu),
    )


def recomputes(model: Weights, manifest: Workload) -> bool:
    """Whether activations are computed again in the backward pass."""
    return manifest.resources.gpus_per_node > 0 and model.count >= batches.LARGE


def has_copy(manifest: Workload) -> bool:
    """Whether a frozen copy of the base is held beside the model that is trained."""
    return manifest.method in {Method.DPO, Method.KTO} and manifest.tuning.type is TuningType.FULL


def _weights(model: Weights, manifest: Workload, changes: Trainable, *, on_gpu: bool) -> int:
    """The base as it is held, and adapters in float32."""
    if manifest.tuning.type is TuningType.FULL:
        # Mixed precision keeps a copy in bfloat16 while a step lasts (Micikevicius et al. 2018).
        return model.count * (_FLOAT + (_HALF if on_gpu else 0))
    adapters = changes.parameters * _FLOAT
    if manifest.tuning.type is TuningType.QLORA:
        small = sum(t.size for t in model.linear)
        return round(small * _NF4) + (model.count - small) * _HALF + adapters
    return model.count * (_HALF if on_gpu else _FLOAT) + adapters


def activations_per_token(model: Weights, manifest: Workload, changes: Trainable, *, recomputed: bool) -> float:
    """Bytes that the backward pass needs of each token that goes forward.

    Args:
        model: the base.
        manifest: tuning and resources.
        changes: which layers have adapters.
        recomputed: only the input of each layer is kept, and one layer's share at a time.
    """
    on_gpu = manifest.resources.gpus_per_node > 0
    of_layers = _layers_on_gpu(model, manifest, changes) if on_gpu else _layers_on_cpu(model, manifest, changes)
    if not recomputed:
        return of_layers
    stream = _FLOAT if manifest.tuning.type is TuningType.FULL else _HALF
    return model.shape.layers * model.shape.hidden * stream + of_layers / model.shape.layers


def _layers_on_cpu(model: Weights, manifest: Workload, changes: Trainable) -> float:
    """All in float32. Full: 8 h + 2 kv + 4 i numbers a layer for a gated MLP (h hidden, kv keys, i the MLP's width)."""
    shape = model.shape
    norms, attention = 2 * shape.hidden, 2 * shape.query + 2 * shape.key_value
    mlp = (3 if shape.gated else 1) * shape.intermediate
    kept = (norms + attention + mlp) * shape.layers
    if not changes.adapted:
        trained = (4 if shape.gated else 2) * shape.hidden + shape.intermediate
        return _FLOAT * (kept + trained * shape.layers)
    inputs = sum(model.inputs_of(t) for t in changes.adapted)
    ranks = manifest.tuning.rank * len(changes.adapted)
    if manifest.tuning.dropout and manifest.method in _WITH_DROPOUT:
        return _FLOAT * (kept + ranks + 2 * inputs)  # the mask and what it leaves, for each adapter
    # Layers with the same input share it, and the output of the attention is kept for the attention anyway.
    shared = {(t.name.rsplit(".", 2)[0], model.inputs_of(t)) for t in changes.adapted if not _after_attention(t.name)}
    return _FLOAT * (kept + ranks + sum(width for _, width in shared))


def _after_attention(name: str) -> bool:
    return name.endswith(tuple(f"{layer}.weight" for layer in _AFTER_ATTENTION))


def _layers_on_gpu(model: Weights, manifest: Workload, changes: Trainable) -> float:
    """Products in bfloat16, norms in float32; layers that are trained keep their inputs in bfloat16, each its own."""
    shape = model.shape
    attention = _HALF * (2 * shape.query + 2 * shape.key_value)
    mlp = _HALF * (3 if shape.gated else 1) * shape.intermediate
    norms = _FLOAT * 2 * shape.hidden
    kept = (attention + mlp + norms) * shape.layers
    if not changes.adapted:
        inputs = sum(model.inputs_of(t) for t in model.linear)
        return kept + _FLOAT * 2 * shape.hidden * shape.layers + _HALF * inputs
    inputs = sum(model.inputs_of(t) for t in changes.adapted)
    drops = 1 if manifest.tuning.dropout and manifest.method in _WITH_DROPOUT else 0
    return kept + (_HALF + drops) * inputs + _HALF * manifest.tuning.rank * len(changes.adapted)


_AFTER_ATTENTION = ("o_proj", "out_proj", "attn.c_proj", "attention.dense", "attention.output.dense")
"""Names of the layer that takes the attention's output."""
_WITH_DROPOUT = frozenset({Method.SFT, Method.CONTINUED_PRETRAINING, Method.CLASSIFICATION})
"""TRL turns dropout off for preferences, so that model and reference can be compared."""


def _logits(model: Weights, manifest: Workload, work: Work, *, on_gpu: bool) -> int:
    if manifest.has_head:
        return 0
    if manifest.method in PAIRED | {Method.KTO}:
        each = _LOGITS_IN_CHUNKS
    else:
        each = _LOGITS_ON_GPU if on_gpu else _LOGITS_ON_CPU
    return each * work.micro_tokens * model.shape.vocabulary
