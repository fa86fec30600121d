"""Progress: what a running pod answers at `GET :9400/progress`. Polled; a missed poll means nothing."""

from typing import Annotated

from pydantic import Field

from attune_contract.base import Reported
from attune_contract.enums import Stage

Count = Annotated[int, Field(ge=0, le=10**15)]


class Progress(Reported):
    """Where a stage is now. `step` counts optimizer steps in training and rows elsewhere."""

    run_id: str
    stage: Stage
    attempt: int
    step: Count = 0
    total_steps: Count = 0
    """0 while it is not known."""
    epoch: float | None = None
    loss: float | None = None
    """Nats per token, last logged."""
    learning_rate: float | None = None
    tokens_per_second: float | None = None
    seconds_per_step: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Training: mean over the first measured steps (the very first one apart); None until there are enough."""
    measured_steps: Count | None = None
    """How many steps that mean is over."""
    checkpoint_step: Count | None = None
    """Training: the step of the last complete checkpoint, from which another attempt goes on; None: none yet."""
    checkpoint_seconds: Annotated[float, Field(ge=0, le=1e9)] | None = None
    """Training: how long the last checkpoint took, from its beginning until it was complete in the store."""
    resumed_from_step: Count = 0
    """Training: the step of the checkpoint that this attempt went on from; 0: it began at the beginning."""
    eta_seconds: Annotated[float, Field(ge=0, le=1e9)] | None = None
    message: str = ""
    warnings: tuple[str, ...] = ()
    """What went wrong without ending the stage, a sentence each, such as a checkpoint that could not be used."""
    updated_at: str
    """RFC 3339, UTC."""

    @property
    def percent(self) -> int:
        """Whole percent done, 0 to 100; 0 while the total is not known."""
        return min(100, int(100 * self.step / self.total_steps)) if self.total_steps else 0
