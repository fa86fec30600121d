"""Where a stage computes, and in which precision."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attune_contract.quantities import quantity
from attune_contract.spec import Resources
from attune_trainer.distributed import Process
from attune_trainer.errors import InvalidConfigurationError


@dataclass(frozen=True)
class Device:
    """One accelerator, or the CPU."""

    name: str
    """As torch names it: `cpu`, `cuda:0`."""
    bf16: bool
    """Whether it computes in bfloat16; else in float32."""

    @property
    def is_gpu(self) -> bool:
        """Whether it is an accelerator."""
        return self.name != "cpu"

    @property
    def dtype(self) -> Any:
        """The precision of weights that are not trained."""
        return torch.bfloat16 if self.bf16 else torch.float32


def choose(resources: Resources, process: Process) -> Device:
    """The device of this process. Sets the number of CPU threads, which figures in float32 depend on.

    Raises:
        InvalidConfigurationError: a GPU is asked for and there is none.
    """
    torch.set_num_threads(threads(resources, os.cpu_count() or 1))
    if not resources.gpus_per_node:
        return Device("cpu", bf16=False)
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if process.local_rank >= seen:
        raise InvalidConfigurationError(
            f"spec.resources.gpusPerNode is {resources.gpus_per_node}, and this container sees {seen} CUDA devices. "
            "Use a TuningRuntime whose accelerator is a GPU and whose image has CUDA, or set gpusPerNode to 0 to use "
            "the CPU."
        )
    torch.cuda.set_device(process.local_rank)
    return Device(f"cuda:{process.local_rank}", bf16=torch.cuda.is_bf16_supported())


def threads(resources: Resources, cores: int) -> int:
    """CPU threads for tensor work: the pod's share of the machine, not all that torch sees of it."""
    return max(1, min(cores, round(quantity(resources.cpu))))


def peak_memory(device: Device) -> int:
    """The most memory that this process had, in bytes: of the accelerator, or resident on the CPU."""
    if device.is_gpu:
        return int(torch.cuda.max_memory_allocated(device.name))
    return peak_resident()


def peak_resident() -> int:
    """The most memory that was resident in this process, in bytes.

    Source: proc(5), VmHWM. getrusage's ru_maxrss would do but for one thing: it starts from what the process that
    started this one held.
    """
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024
