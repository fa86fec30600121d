"""Which process of how many this is, from the variables that torchrun sets. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """One of the processes that train together."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1

    @property
    def is_first(self) -> bool:
        """Only this one talks to the store to write, and reports the Outcome."""
        return self.rank == 0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Process":
        """Reads RANK, LOCAL_RANK and WORLD_SIZE; a process that torchrun did not start is alone."""
        return cls(
            rank=int(environment.get("RANK", "0")),
            local_rank=int(environment.get("LOCAL_RANK", "0")),
            world_size=int(environment.get("WORLD_SIZE", "1")),
        )
