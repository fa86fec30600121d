"""What the processes of one training tell each other, so that all of them decide the same at the same step.

They talk on the CPU (gloo): that costs less than a millisecond each step, and does not wait for what an accelerator
still computes. What they say is numbers and JSON, never a pickle.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from functools import cached_property
from typing import Any

import torch
from torch import distributed

from attune_trainer.distributed import Process

PATIENCE = timedelta(hours=1)
"""How long they wait for one that fetches or writes a checkpoint; one that is gone is noticed at once."""


class Gang:
    """The processes of one training. Every one must call each method, in the same order.

    Args:
        process: which of how many this is.
    """

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def is_alone(self) -> bool:
        """Whether there is nobody to talk to.

        Raises:
            RuntimeError: there should be others, and nothing connects them: each would take itself for the first.
        """
        if self._process.world_size > 1 and not distributed.is_initialized():
            raise RuntimeError(f"{self._process.world_size} processes train together, and nothing connects them")
        return self._process.world_size == 1

    @cached_property
    def _group(self) -> Any:
        return distributed.new_group(backend="gloo", timeout=PATIENCE)

    def highest(self, values: Sequence[int]) -> list[int]:
        """The highest of what any of them says, place by place."""
        if self.is_alone:
            return list(values)
        numbers = torch.tensor(list(values), dtype=torch.int64)
        distributed.all_reduce(numbers, op=distributed.ReduceOp.MAX, group=self._group)
        return [int(number) for number in numbers]

    def from_first(self, value: Any) -> Any:
        """What the first process says (anything that JSON can say); what the others give does not matter."""
        return self.all(value)[0]

    def all(self, value: Any) -> list[Any]:
        """What each of them says (anything that JSON can say; small: all hear all of it), by rank."""
        return [json.loads(said) for said in self.bytes_of_all(json.dumps(value).encode())]

    def bytes_of_all(self, said: bytes) -> list[bytes]:
        """The same for bytes; as many megabytes as memory has room for as often as there are processes."""
        if self.is_alone:
            return [said]
        longest = self.highest([len(said)])[0]
        text = len(said).to_bytes(8, "little") + said.ljust(longest, b"\0")
        padded = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        heard = [torch.empty_like(padded) for _ in range(self._process.world_size)]
        distributed.all_gather(heard, padded, group=self._group)
        texts = [bytes(each.numpy()) for each in heard]
        return [text[8 : 8 + int.from_bytes(text[:8], "little")] for text in texts]

    def wait(self) -> None:
        """Until all of them are here."""
        self.highest([0])
