"""Asking again: a store that stutters for a minute must not cost a training run."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from attune_trainer.errors import StoreUnreachableError

T = TypeVar("T")


@dataclass(frozen=True)
class Retry:
    """Exponential backoff up to a deadline.

    Args:
        patience: seconds after the first failure during which a call is repeated.
        now: a monotonic clock, in seconds.
        sleep: waits that many seconds.
    """

    patience: float = 60.0
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, call: Callable[[], T]) -> T:
        """Repeats `call` while it raises StoreUnreachableError, until patience ends; then that error stands."""
        deadline: float | None = None
        for delay in _delays():
            try:
                return call()
            except StoreUnreachableError:
                deadline = self.now() + self.patience if deadline is None else deadline
                if self.now() + delay > deadline:
                    raise
                self.sleep(delay)
        raise AssertionError("delays never end")


def _delays(first: float = 0.5, longest: float = 8.0) -> Iterator[float]:
    delay = first
    while True:
        yield delay
        delay = min(longest, 2 * delay)
