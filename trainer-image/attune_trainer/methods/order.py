"""The order in which an epoch's rows are learnt, which must not depend on how many processes learn them."""

from collections.abc import Iterator, Sized
from typing import Any

import torch


class FillersLast(torch.utils.data.Sampler[int]):  # type: ignore[misc]  # torch is not followed
    """Rows in an order drawn from seed and epoch; behind them the fillers, which only make all shares equal.

    Drawn as accelerate draws it, over the data's rows alone: so each step of an epoch learns the same rows with one
    process as with many, and a training may go on with another number of them.

    Args:
        rows: a dataset; its last `missing` places are fillers.
        missing: how many.
        seed: of the order.
    """

    def __init__(self, rows: Sized, missing: int, seed: int) -> None:
        self._rows = rows
        self._missing = missing
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch's order is drawn next."""
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Any]:
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        real = len(self._rows) - self._missing
        yield from torch.randperm(real, generator=generator).tolist()
        yield from range(real, real + self._missing)
        self._epoch += 1
