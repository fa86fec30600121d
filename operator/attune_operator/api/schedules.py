"""Blocks that schedules of all kinds share: cron, months, windows, and the template that runs are made from."""

from typing import Annotated, Any

from pydantic import Field

from attune_contract.base import Frozen, Reported
from attune_contract.quantities import Duration, Money
from attune_contract.spec import Output
from attune_operator.api.finetunejob import FineTuneJobSpec, ObjectName
from attune_operator.api.meta import LabelKey, LabelValue
from attune_operator.api.status import Time

ZONE_PATTERN = r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+){0,2}$"
TimeZone = Annotated[str, Field(pattern=ZONE_PATTERN, max_length=64)]
CronText = Annotated[str, Field(pattern=r"^\s*\S+(\s+\S+){4}\s*$", max_length=100)]
ClockTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5)]
MatrixName = Annotated[str, Field(pattern=r"^[a-z][A-Za-z0-9]*$", max_length=32)]
MatrixValue = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$", max_length=63)]
PLACEHOLDER = r"\{\{ ?[a-z][A-Za-z0-9]* ?\}\}"


class Cron(Frozen):
    """When it is time, as in a crontab."""

    schedule: CronText
    """Minute, hour, day of month, month, day of week: `0 3 * * SUN`. Where clocks are put forward, a time that does not
    exist is made good at once; where they are put back, a time that comes twice counts once (as Debian's cron)."""
    time_zone: TimeZone = "Etc/UTC"
    """Name in the IANA time zone database, such as `Europe/Berlin`."""
    starting_deadline: Duration | None = None
    """How late a start may be, as when the operator was down. Left out: any time, but never more than one start."""
    jitter: Duration | None = None
    """Starts are spread over this long, each schedule always at the same place in it."""


class Window(Frozen):
    """When runs may start, every day; `start` after `end` reaches over midnight."""

    start: ClockTime
    """Such as `22:00`."""
    end: ClockTime
    """Such as `06:00`."""
    time_zone: TimeZone = "Etc/UTC"
    """Name in the IANA time zone database, such as `Europe/Berlin`."""


class MonthlyBudget(Frozen):
    """What may be spent in a calendar month."""

    max_cost: Money
    """Money at the runtime's prices, as text: `"200.00"`. Nothing starts that would go beyond it."""


class Breaker(Frozen):
    """When failures end a schedule."""

    failures: Annotated[int, Field(ge=1, le=100)] = 3
    """So many failed runs in a row stop it until spec.jobTemplate changes or somebody triggers a run."""


class TemplateMetadata(Frozen):
    """Labels and annotations of the runs."""

    labels: Annotated[dict[LabelKey, LabelValue], Field(max_length=32)] = {}
    """Labels of each run."""
    annotations: Annotated[dict[LabelKey, Annotated[str, Field(max_length=1024)]], Field(max_length=32)] = {}
    """Annotations of each run."""


class TemplateOutput(Output):
    """Where the run writes; names may have placeholders."""

    register_: Annotated[
        Annotated[str, Field(pattern=rf"^([a-z0-9.-]|{PLACEHOLDER})+$", max_length=253)] | None,
        Field(alias="register"),
    ] = None
    """Name of a TunedModel that gets the result as its next version."""


class TemplateSpec(FineTuneJobSpec):
    """Spec of the runs; all that a FineTuneJob has."""

    # The one field whose own pattern has no room for a placeholder. All else is a FineTuneJob's, word for word.
    output: TemplateOutput
    """Where the run's files and the tuned model go."""


class JobTemplate(Frozen):
    """What runs are made from."""

    metadata: TemplateMetadata = TemplateMetadata()
    """Labels and annotations of the runs."""
    matrix: Annotated[
        dict[MatrixName, Annotated[tuple[MatrixValue, ...], Field(min_length=1, max_length=64)]], Field(max_length=4)
    ] = {}
    """Values by name: a run is made for each combination, 256 at most. `{{name}}` in model.source, dataset.train,
    dataset.test, evaluation.forgetting.dataset, output.uri and output.register stands for the value."""
    max_parallel: Annotated[int, Field(ge=1, le=256)] = 4
    """Runs of one matrix that are active at once."""
    spec: TemplateSpec
    """Spec of each run."""

    def dump(self) -> dict[str, Any]:
        """The template as JSON."""
        return self.model_dump(mode="json", exclude_none=True)


class Spend(Reported):
    """What was spent in a calendar month."""

    month: str
    """Such as `2026-11`, in UTC."""
    amount: str = "0.00"
    """Money of runs that are over, as a decimal number."""
    currency: str = ""
    """Currency of the runtime's prices."""


class LastTrigger(Reported):
    """What made runs start, the last time."""

    trigger: Annotated[str, Field()]
    """Manual, Wave, Template, NewData, Drift or Cron."""
    time: Time
    """When it was decided."""
    message: str
    """Why, in a sentence."""


class Skipped(Reported):
    """A start that did not take place."""

    time: Time
    """When it would have been."""
    trigger: str
    """Manual, Wave, Template, NewData, Drift or Cron."""
    reason: str
    """Why not, in one word for programs."""
    message: str
    """Why not, in a sentence."""


class CronSeen(Reported):
    """How far the cron has been followed."""

    schedule: str
    """The schedule, as it was when `since` was noted."""
    time_zone: str
    """Its time zone."""
    since: Time
    """Times up to this one are of the past."""


__all__ = [
    "Breaker",
    "ClockTime",
    "Cron",
    "CronSeen",
    "JobTemplate",
    "LastTrigger",
    "MonthlyBudget",
    "ObjectName",
    "Skipped",
    "Spend",
    "TemplateMetadata",
    "TemplateOutput",
    "TemplateSpec",
    "TimeZone",
    "Window",
]
