"""A model that is spread over the processes that train it (FSDP2): when, how, and how it becomes whole again.

Each process keeps a part of every weight, gradient and optimizer tensor, and has a layer's weights whole only while it
computes with that layer.
"""

from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from attune_contract.enums import TuningType
from attune_trainer.methods.base import Job


def is_spread(job: Job) -> bool:
    """Whether a training spreads its model.

    That is for all weights trained, on several GPUs. With an adapter nearly all weights are frozen and need neither
    gradients nor an optimizer; so each process has them whole. On CPUs accelerate knows no FSDP: it would leave it out
    without a word.
    """
    return job.work.tuning.type is TuningType.FULL and job.device.is_gpu and job.process.world_size > 1


def arguments(job: Job) -> dict[str, Any]:
    """Settings of the Trainer that spread its model, layer by layer; none where it is not."""
    if not is_spread(job):
        return {}
    return {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
            "reshard_after_forward": True,
            "state_dict_type": "SHARDED_STATE_DICT",  # transformers' own checkpoints, which nobody makes here
            "cpu_ram_efficient_loading": False,
        },
    }


def reshard(model: Any) -> None:
    """Has every process keep its share of each weight alone.

    Some layers stay whole after the model computed without learning from it, as for the validation loss. Their weights
    are then others than those that the optimizer knows.
    """
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def whole(weight: torch.Tensor) -> torch.Tensor:
    """A weight as one tensor. Of a spread one, every process must ask."""
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def gather(model: Any, *, is_first: bool) -> None:
    """Makes a spread model whole in the memory of the first process, to be saved there; in others nothing is left.

    Weight by weight, so that an accelerator never has more than one of them whole. Every process must call it. A model
    that is not spread stays as it is.

    Args:
        model: changed in place; nothing can be computed with it afterwards.
        is_first: whether this is the first process.
    """
    reshard(model)
    made: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, weight in module.named_parameters(recurse=False):
            if not isinstance(weight, DTensor):
                continue
            if id(weight) not in made:  # weights that two layers share stay one
                made[id(weight)] = torch.nn.Parameter(_here(weight, is_first), requires_grad=weight.requires_grad)
            module._parameters[name] = made[id(weight)]  # noqa: SLF001 - assigning would go through FSDP's own hooks
    for module in model.modules() if made else ():
        kind = type(module)
        if kind.__name__.startswith("FSDP") and len(kind.__bases__) > 1:  # torch puts its own class in front
            module.__class__ = kind.__bases__[1]


def _here(weight: DTensor, is_first: bool) -> torch.Tensor:
    full = weight.detach().full_tensor()
    return full.cpu() if is_first else torch.empty_like(full, device="meta")
