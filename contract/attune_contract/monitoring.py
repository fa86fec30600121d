"""Monitoring: what the Monitor stage is asked to look at, and what it says of what it saw. No I/O.

A look is one evaluation-only run of published versions on the rows that applications dropped lately.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from attune_contract.base import Frozen, Reported
from attune_contract.enums import MetricName
from attune_contract.quantities import Duration
from attune_contract.spec import URIText

FEW_WORDS = 8
"""So many words are named that became more or less frequent."""
FEW_LABELS = 6
"""So many labels are named whose share moved most."""
NAMED_IN = 5
"""Rows that a word or a label must be in to be named: what one person wrote stays out of status."""


class Variant(StrEnum):
    """Who answers a part of the traffic. Rows of applications name it in their column `variant`."""

    BASE = "base"
    """The model before tuning."""
    CHAMPION = "champion"
    """The version in use."""
    CHALLENGER = "challenger"
    """The version that may take its place."""


class Published(Frozen):
    """A published version that is looked at."""

    variant: Variant
    """champion or challenger."""
    version: Annotated[str, Field(min_length=1, max_length=253)]
    """Its name in the TunedModel, for reports."""
    run_uri: URIText
    """Prefix of the run that published it: the folder of its manifest.json."""
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    """Of its manifest.json, as status.output.digest of the run has it: verified before anything of it is used."""


class Look(Frozen):
    """What one look is about: the block `monitoring` of RunConfig."""

    at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    """The time that the look is for, as the cron has it (UTC). It names the look: a second attempt at it, or a second
    operator, reports the same again."""
    source: URIText
    """A prefix (ending in `/`) or a glob of files that applications drop by day: rows of the method's format, with
    `variant`, `timestamp` and `rating` where they have them, and with or without the right answer."""
    window: Duration = "168h"
    """Rows from this long before `at` on are recent."""
    max_rows: Annotated[int, Field(ge=100, le=100_000)] = 2000
    """Most recent rows that are looked at, and most training rows that they are compared with; drawn by seed."""
    min_rows: Annotated[int, Field(ge=20, le=100_000)] = 50
    """With fewer recent rows nothing is said of drift."""
    false_alarms: Annotated[float, Field(ge=0.001, le=0.2)] = 0.05
    """Share of looks, of those in which nothing changed, that may raise an alarm: over all questions of a look. The
    smaller it is, the more permutations a look takes."""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 17
    """Of samples and permutations."""
    variants: Annotated[tuple[Published, ...], Field(min_length=1, max_length=2)]
    """The champion first, then the challenger where there is one."""


class MovedLabel(Reported):
    """A label whose share changed."""

    label: str
    before: float
    """Its share among the training rows."""
    now: float
    """Its share among the recent rows."""


class InputDrift(Reported):
    """Whether recent prompts can be told from the training rows' by their words."""

    score: float
    """How well: the chance that a recent row looks more recent than a training row; 0.5 is not at all (AUC)."""
    threshold: float
    """Above it, no more than the allowed share of permutations."""
    p_value: float
    rows: int
    """Recent rows, with or without an answer."""
    drifted: bool
    more: tuple[str, ...] = ()
    """Words that became more frequent, the most telling first."""
    less: tuple[str, ...] = ()
    """Words that became less frequent."""


class LabelShift(Reported):
    """Whether labels come in other shares than in the training rows."""

    psi: float
    """Population stability index: 0 is no shift."""
    threshold: float
    """Above it, no more than the allowed share of permutations: it depends on the rows, not on a rule of thumb."""
    p_value: float
    rows: int
    """Recent rows with a label."""
    drifted: bool
    moved: tuple[MovedLabel, ...] = ()
    """Labels whose share moved most; empty where none has drifted."""


class MetricDrop(Reported):
    """One metric of the champion on recent rows, against its figure on its held-out rows at promotion."""

    metric: MetricName
    before: float
    """On the held-out rows of the run that published it."""
    before_rows: int
    now: float
    rows: int
    """Recent rows with an answer."""
    bar: float | None = None
    """The lower end of the 60 % interval of `before` (upper where less is better), which `now` must be surely below for
    a drop; None where the rows set none."""
    drop: float
    """How much worse it is, in the metric's unit; negative where it is better."""
    p_value: float
    """How likely such a drop is if the champion is no worse than it was: both figures are uncertain."""
    dropped: bool


class VariantFigures(Reported):
    """One variant on the recent rows."""

    variant: Variant
    version: str = ""
    """Empty for base, which is not evaluated: only ratings tell of it."""
    rows: int = 0
    """Recent rows with an answer that it was evaluated on; the same for all variants, and learnt by none of them."""
    metrics: dict[MetricName, float] = {}
    answered: int = 0
    """Recent rows that it answered in production, by their column `variant`."""
    ratings: int = 0
    """Recent rows among these with a rating."""
    rating: float | None = None
    """Mean rating."""
    rating_low: float | None = None
    """Lower end of its 95 % interval."""
    rating_high: float | None = None


class Comparison(Reported):
    """The challenger against the champion: on the same recent rows, or by the ratings that each got."""

    about: str
    """A metric's name, or `rating`."""
    delta: float
    """Challenger less champion, in its own unit."""
    low: float | None = None
    """Lower end of the 95 % interval."""
    high: float | None = None
    p_value: float | None = None
    rows: int
    lower_is_better: bool = False


class Monitoring(Reported):
    """What one look came to: the block `monitoring` of an Outcome."""

    at: str
    """The time that the look was for."""
    rows: int = 0
    """Recent rows that can be used."""
    labelled_rows: int = 0
    """Those with the right answer."""
    invalid_rows: int = 0
    """Rows that cannot be read; they are passed over, and the report names the first."""
    enough: bool = True
    """Whether there were rows enough to say anything of drift."""
    drifted: bool = False
    """Whether anything below has moved: what triggers.drift acts on."""
    sentence: str = ""
    """All of it in a sentence or two."""
    inputs: InputDrift | None = None
    labels: LabelShift | None = None
    metrics: tuple[MetricDrop, ...] = ()
    variants: tuple[VariantFigures, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    """Challenger against champion; empty where there is no challenger."""

    def shorter(self) -> "Monitoring | None":
        """With less of what only people read; None where there is nothing to leave out. No figure is ever left out."""
        if self.inputs and (self.inputs.more or self.inputs.less):
            fewer = {"more": self.inputs.more[:-1], "less": self.inputs.less[:-1]}
            return self.model_copy(update={"inputs": self.inputs.model_copy(update=fewer)})
        if self.labels and self.labels.moved:
            moved = self.labels.moved[:-1]
            return self.model_copy(update={"labels": self.labels.model_copy(update={"moved": moved})})
        if self.sentence:
            return self.model_copy(update={"sentence": ""})
        return None
