"""The state of a training whose model is spread over its processes (FSDP2): each process writes the shard that it has.

| file | by whom | what |
| --- | --- | --- |
| shards/<rank>.safetensors | each process | its part of every weight and of the optimizer's tensors, and its place |
| optimizer.safetensors | the first | the optimizer's tensors that are not spread, such as the steps it has done |
| everything else | the first | as for whole models (`state.py`) |

The shards are in the layout of torch's distributed checkpoints over safetensors: the offset of each part is JSON in the
file's header. So torch's own reader puts them together again, for any number of processes, each of which reads only
what it needs; and there is no pickle, as its other layout has for what it calls metadata.
"""

import json
import warnings
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint import DefaultLoadPlanner, HuggingFaceStorageReader, load
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from attune_trainer.checkpointing import state
from attune_trainer.checkpointing.gang import Gang
from attune_trainer.errors import InvalidConfigurationError
from attune_trainer.methods import sharding

SHARDS = "shards"
_OFFSETS = "DCP_SHARDING_INFO"
"""Where torch's reader looks for the offsets in the header of a safetensors file."""
_WEIGHTS = "weights/"
_OPTIMIZER = "optimizer/"


def writer_of(trainer: Any) -> state.StateWriter:
    """Who takes and puts back the state of a Trainer: whether accelerate spreads its model decides."""
    return ShardedState() if getattr(trainer, "is_fsdp_enabled", False) else state.WholeState()


def reader_of(trainer: Any, folder: Path) -> state.StateWriter:
    """Who puts back a state. One in shards fits a whole model too, and a whole one a model that is spread."""
    return ShardedState() if (folder / SHARDS).is_dir() else writer_of(trainer)


class ShardedState:
    """For models that are spread over the processes. See `StateWriter`."""

    is_in_parts = True

    def take(self, trainer: Any, gang: Gang) -> state.Snapshot:
        """See `StateWriter.take`. Nothing of the model goes from one process to another."""
        sharding.reshard(trainer.model)
        own = state.random_of_all(trainer, gang)
        tensors, groups = state.of_optimizer(trainer, copy=lambda tensor: tensor)
        spread = {_WEIGHTS + name: weight for name, weight in state.trained(trainer)}
        spread |= {_OPTIMIZER + name: value for name, value in tensors.items() if isinstance(value, DTensor)}
        made = state.Snapshot()
        rank = trainer.args.process_index
        file = f"{SHARDS}/{rank}.safetensors"
        made.tensors[file], made.headers[file] = _parts(spread, is_first=rank == 0)
        if rank == 0:
            plain = {name: state.copied(value) for name, value in tensors.items() if not isinstance(value, DTensor)}
            made.tensors[state.OPTIMIZER], made.documents[state.OPTIMIZER_GROUPS] = plain, groups
            made.tensors[state.RANDOM] = own
            made.documents[state.SCHEDULER] = trainer.lr_scheduler.state_dict()
            made.documents[state.SAMPLER] = state.position(trainer)
            made.documents[state.TRAINER] = asdict(trainer.state)
        state.arrived(trainer)
        return made

    def put_weights(self, trainer: Any, folder: Path) -> None:
        """See `StateWriter.put_weights`; a model that is to be spread is by now."""
        weights = {name: weight.detach() for name, weight in state.trained(trainer)}
        if (folder / SHARDS).is_dir():
            _fill(folder, {_WEIGHTS + name: weight for name, weight in weights.items()})
            return
        kept = load_file(folder / state.WEIGHTS)
        _demand(set(kept) == set(weights), folder, "it is of other weights")
        for name, weight in weights.items():
            _put_share(weight, kept[name])

    def put_optimizer(self, trainer: Any, folder: Path) -> None:
        """See `StateWriter.put_optimizer`."""
        state.demand_position(trainer, folder)
        weights = dict(state.trained(trainer))
        made = {}
        for key, dtype in _kept(folder).items() if (folder / SHARDS).is_dir() else ():
            if key.startswith(_OPTIMIZER):
                name = key.removeprefix(_OPTIMIZER).rpartition("/")[0]
                _demand(name in weights, folder, f"it has an optimizer for {name}, which is not trained here")
                made[key] = torch.zeros_like(weights[name].detach(), dtype=dtype)
        _fill(folder, made)
        shares = {key.removeprefix(_OPTIMIZER): value for key, value in made.items()}
        state.put_optimizer(trainer, folder, shares, lambda name, tensor: _share_as(weights[name].detach(), tensor))
        state.put_scheduler(trainer, folder)


def _share_as(weight: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as its weight is spread; one of another shape, such as a number of steps, as it is."""
    if not isinstance(weight, DTensor) or weight.shape != tensor.shape:
        return tensor
    share = torch.zeros_like(weight, dtype=tensor.dtype)
    _put_share(share, tensor)
    return share


def _put_share(into: torch.Tensor, whole: torch.Tensor) -> None:
    """Copies from a whole tensor what this process has of it."""
    if isinstance(into, DTensor):
        shape, offset = compute_local_shape_and_global_offset(into.shape, into.device_mesh, into.placements)
        whole = whole[tuple(slice(start, start + length) for start, length in zip(offset, shape, strict=True))]
        into = into.to_local()
    into.copy_(whole)


def _parts(spread: dict[str, Any], *, is_first: bool) -> tuple[state.Tensors, dict[str, str]]:
    """What this process has of each tensor, and the header that says where that is in the whole."""
    parts, offsets = {}, {}
    for name, tensor in spread.items():
        if isinstance(tensor, DTensor):
            local = tensor.to_local()
            _, offset = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
            is_mine = local.numel() > 0  # of a tensor with fewer rows than processes, some have nothing
        else:
            local, offset, is_mine = tensor, (0,) * tensor.dim(), is_first
        if is_mine:
            parts[name] = state.copied(local)
            offsets[name] = {"saved_offsets": list(offset)}
    return parts, {_OFFSETS: json.dumps(offsets)}


def _kept(folder: Path) -> dict[str, torch.dtype]:
    """Which tensors the shards have."""
    found = HuggingFaceStorageReader(str(folder / SHARDS)).read_metadata().state_dict_metadata
    return {name: kept.properties.dtype for name, kept in found.items()}


def _fill(folder: Path, tensors: dict[str, Any]) -> None:
    """Reads from the shards what this process has of each tensor.

    Raises:
        InvalidConfigurationError: the shards are not of these tensors, or some are missing.
    """
    if not tensors:
        return
    reader = HuggingFaceStorageReader(str(folder / SHARDS))
    found = reader.read_metadata().state_dict_metadata
    for name, tensor in tensors.items():
        kept = found.get(name)
        _demand(kept is not None, folder, f"it does not have {name}")
        _demand(tuple(kept.size) == tuple(tensor.shape), folder, f"{name} has another shape there")
        whole = sum(prod(chunk.sizes) for chunk in kept.chunks) == tensor.numel()
        _demand(whole, folder, f"parts of {name} are missing there")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # each reads for itself
        load(
            tensors,
            storage_reader=reader,
            planner=DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False),
            no_dist=True,
        )


def _demand(fits: bool, folder: Path, why: str) -> None:
    if not fits:
        raise InvalidConfigurationError(
            f"{folder.name}: the checkpoint does not fit this training: {why}. Was it made with another image? "
            "Start a new run."
        )
