"""Everything that evaluation.html shows, as one plain document. Whoever has these figures can make the page."""

from pydantic import AwareDatetime, model_validator

from attune_contract.base import Frozen
from attune_contract.enums import Method, MetricName, Verdict
from attune_contract.outcome import MetricResult


class Check(Frozen):
    """One thing that the gate asked for."""

    verdict: Verdict
    sentence: str
    """The gate's own, such as `Accuracy 0.91 is 0.49 over base (95 % interval 0.38 to 0.59, bar 0.05)`."""


class Comparison(MetricResult):
    """A metric of tuned and one baseline, on all rows or on a slice of them, beside what the gate asks for."""

    bar: float | None = None
    """The delta that the gate asks for: minImprovement, or maxRegression as a negative number."""


class About(Frozen):
    """What a metric is; the text metrics' Description has most of it."""

    metric: MetricName
    definition: str
    normalization: str = "none"
    computed_by: str = "attune"
    certainty: str = ""
    """Where interval and p-value come from."""
    signature: str | None = None
    lower_is_better: bool = False


class Curve(Frozen):
    """A loss by optimizer step."""

    name: str
    """Such as `train` or `held-out`."""
    points: tuple[tuple[int, float], ...]
    """Step and loss in nats per token, in order of steps."""


class Confusion(Frozen):
    """How often one model answered each label for each."""

    model: str
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    """Expected x answered; one more column, where it is there, is for answers that are no label."""

    @model_validator(mode="after")
    def _square(self) -> "Confusion":
        n = len(self.labels)
        widths = {len(row) for row in self.counts}
        if len(self.counts) != n or (n and not (len(widths) == 1 and widths <= {n, n + 1})):
            raise ValueError(f"{n} labels need {n} rows of {n} or {n + 1} counts")
        return self


class Answer(Frozen):
    """What a model said to one row."""

    text: str
    right: bool | None = None
    """None where the metric has no right and wrong."""
    score: float | None = None


class Shown(Frozen):
    """One row on which the two models differ."""

    row_id: str
    prompt: str
    """Long ones are shortened on the page."""
    expected: str
    base: Answer
    tuned: Answer


class Forgetting(Frozen):
    """What became of general ability."""

    dataset: str
    rows: int
    base_perplexity: float
    tuned_perplexity: float
    max_increase: float
    """The gate's bar on the relative rise: 0.10 is 10 %."""
    mean_token_kl: float | None = None
    """Of the tuned model's next tokens from the base's, in nats."""
    low: float | None = None
    """Lower end of the interval for the ratio tuned over base."""
    high: float | None = None
    verdict: Verdict


class Fact(Frozen):
    """A name and what it is, as text; text of several lines keeps them."""

    name: str
    value: str


class EvaluationDocument(Frozen):
    """The whole page, in the order in which it is read. What is empty or None gets no section."""

    run_name: str
    namespace: str
    run_id: str
    method: Method
    model: str
    """The base's URI."""
    created: AwareDatetime
    verdict: Verdict
    sentence: str
    """The verdict in one sentence."""
    notices: tuple[str, ...] = ()
    """What must be read before anything else, such as that rows of test were allowed to be in train."""
    checks: tuple[Check, ...] = ()
    comparisons: tuple[Comparison, ...]
    """In the order of metrics; of a metric, all rows before slices."""
    about: tuple[About, ...]
    confidence: float = 0.95
    """Of all intervals."""
    curves: tuple[Curve, ...] = ()
    best_step: int | None = None
    """The step whose checkpoint was evaluated."""
    confusion: tuple[Confusion, ...] = ()
    judged_by: MetricName | None = None
    """The metric by which regressions and gains were chosen."""
    regressions: tuple[Shown, ...] = ()
    """Rows that base has right and tuned has wrong, or those that lost most; worst first."""
    gains: tuple[Shown, ...] = ()
    """The reverse; best first."""
    regressions_total: int = 0
    """How many there are, shown or not."""
    gains_total: int = 0
    forgetting: tuple[Forgetting, ...] = ()
    data: tuple[Fact, ...] = ()
    """From validation.json."""
    data_warnings: tuple[str, ...] = ()
    cost: tuple[Fact, ...] = ()
    lineage: tuple[Fact, ...] = ()
    """The manifest's fields."""
    settings: tuple[Fact, ...] = ()
    """What training and evaluation ran with, defaults filled in."""
