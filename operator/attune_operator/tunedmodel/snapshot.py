"""What was seen of one TunedModel at one moment: everything that the pure rooms may judge by."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from attune_operator.api.finetunejob import FineTuneJob
from attune_operator.api.problems import FieldProblem
from attune_operator.api.tunedmodel import TunedModel
from attune_operator.finetunejob.snapshot import LookView

JSON = dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """One TunedModel as seen at `now`."""

    model: TunedModel
    now: datetime
    problems: tuple[FieldProblem, ...] = ()
    """Everything wrong with the spec, cron included; `model.spec` is not used where there is any."""
    runs: tuple[FineTuneJob, ...] = ()
    """Runs of its namespace that register with it and are over."""
    present: frozenset[str] = field(default_factory=frozenset)
    """UIDs of all FineTuneJobs of its namespace that are there and are not being deleted."""
    leaving: frozenset[str] = field(default_factory=frozenset)
    """UIDs of those that are being deleted, and wait for something."""
    look: LookView | None = None
    """The Job of status.look, if it is there."""
