"""What was seen of one schedule at one moment: everything that the pure rooms may judge by."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from attune_contract.datafacts import DataFacts
from attune_contract.enums import DeletionPolicy
from attune_operator.api.conditions import ConditionType
from attune_operator.api.enums import Phase
from attune_operator.api.finetunejob import FineTuneJob
from attune_operator.api.finetuneschedule import FineTuneSchedule
from attune_operator.api.problems import FieldProblem, as_mapping
from attune_operator.api.tunedmodel import TunedModel

JSON = dict[str, Any]


@dataclass(frozen=True)
class RunView:
    """A FineTuneJob that this schedule made."""

    name: str
    uid: str
    over: bool = False
    succeeded: bool = False
    published: bool = False
    ended: str = ""
    """RFC 3339, once it is over."""
    message: str = ""
    cost: Decimal = Decimal(0)
    """So far."""
    expected: Decimal = Decimal(0)
    """The upper end of its estimate; nothing while there is none."""
    currency: str = ""
    deleting: bool = False
    registers: str = ""
    """The TunedModel that it registers with."""
    stalled_since: str = ""
    """RFC 3339: since when it has waited for a person, who stopped it or must mend or approve; empty where it does
    not."""
    sweeps: bool = False
    """Whether its files go with it."""


@dataclass(frozen=True)
class PollView:
    """The Job that looks at the training data."""

    over: bool
    found: DataFacts | None = None
    message: str = ""
    """Why it found nothing, or does not start."""


@dataclass(frozen=True)
class Snapshot:
    """One schedule as seen at `now`."""

    schedule: FineTuneSchedule
    now: datetime
    problems: tuple[FieldProblem, ...] = ()
    """Everything wrong with the spec, cron included; `schedule.spec` is not used where there is any."""
    runs: tuple[RunView, ...] = ()
    """Runs that it made and that are there."""
    tuned: TunedModel | None = None
    """The TunedModel that its runs register with, or whose monitor it follows."""
    registered: frozenset[str] = field(default_factory=frozenset)
    """UIDs of runs that their TunedModel has taken note of, or that register nowhere."""
    in_use: frozenset[str] = field(default_factory=frozenset)
    """UIDs of runs whose version is in use by its TunedModel, or is yet to be compared with the champion."""
    poll: PollView | None = None
    """The Job of status.data.poll, if it is there."""


def run_view(raw: JSON) -> RunView:
    """A FineTuneJob as the plan sees it."""
    run, _ = FineTuneJob.parse(raw)
    output = as_mapping(as_mapping(raw.get("spec")).get("output"))
    holds = {c.type for c in run.status.conditions if c.status == "True"}
    estimate = run.status.estimate.cost if run.status.estimate else None
    return RunView(
        name=run.metadata.name,
        uid=run.metadata.uid,
        over=ConditionType.FINISHED in holds,
        succeeded=ConditionType.SUCCEEDED in holds,
        published=ConditionType.PUBLISHED in holds,
        ended=run.status.completion_time or "",
        message=run.status.message,
        cost=Decimal(run.status.cost.amount) if run.status.cost else Decimal(0),
        expected=Decimal(estimate.high) if estimate else Decimal(0),
        currency=run.status.cost.currency if run.status.cost else "",
        deleting=run.metadata.deletion_timestamp is not None,
        registers=str(output.get("register", "")),
        stalled_since=_stalled_since(run),
        sweeps=output.get("deletionPolicy") == DeletionPolicy.DELETE,
    )


def _stalled_since(run: FineTuneJob) -> str:
    holds = {c.type: c for c in run.status.conditions if c.status == "True"}
    if ConditionType.FINISHED in holds:
        return ""
    stalled = holds.get(ConditionType.STALLED)
    return stalled.last_transition_time if stalled is not None else _paused_since(run)


def _paused_since(run: FineTuneJob) -> str:
    """A run that is suspended, or not approved, has waited since its last attempt ended."""
    attempts = run.status.attempts
    if run.status.phase not in (Phase.AWAITING_APPROVAL, Phase.SUSPENDED):
        return ""
    return (attempts[-1].end_time if attempts else run.status.start_time) or ""
