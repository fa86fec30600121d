"""The examination of a run before anything expensive: the same for preflight's pod and for `attune validate`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attune_contract import layout
from attune_contract.outcome import RowError, Validation
from attune_contract.runconfig import RunConfig
from attune_trainer import models, versions
from attune_trainer.data import dataset, objects, report
from attune_trainer.data.check import Progress
from attune_trainer.data.figures import Sides
from attune_trainer.data.html.page import write_page
from attune_trainer.data.problems import ProblemLog
from attune_trainer.estimate.stage import Judgement, judge

JSON = dict[str, Any]


@dataclass(frozen=True)
class Subject:
    """What is examined.

    Args:
        config: the manifest and the runtime's facts.
        found: the objects of the dataset.
        base: the model's small files; None where there is no model, and then no tokens are counted.
        source: where the model's weights are; None where the run is not to be estimated.
        scratch: a folder for the checked rows and the reports.
        on_progress: told how far reading is.
        report_uri: where the report will be; None where it is not kept.
    """

    config: RunConfig
    found: objects.Found
    base: models.BaseModel | None
    source: models.ModelSource | None
    scratch: Path
    on_progress: Callable[[Progress], None]
    report_uri: str | None


@dataclass(frozen=True)
class Examination:
    """What came of it."""

    validation: Validation
    checked: dataset.Checked
    judgement: Judgement
    report: JSON
    """validation.json without its errors."""
    json: Path
    page: Path
    unusable: str | None
    """Why the run cannot go on with this data; None where it can."""

    @property
    def verdict(self) -> str:
        """The same as a sentence, or two where it can."""
        if self.unusable:
            return self.unusable
        refusal = self.judgement.refusal
        against = f" {getattr(refusal, 'message', refusal)}" if refusal else ""
        return in_words(self.validation, self.checked.sides) + against


def examine(subject: Subject, problems: ProblemLog) -> Examination:
    """Reads and checks every row, estimates the run, and writes the report as JSON and as a page.

    Args:
        subject: what is examined.
        problems: what was found so far; takes everything that is wrong.

    Raises:
        InvalidConfigurationError: the configuration cannot work with any data.
        AccessDeniedError: none of the files may be read.
    """
    work, base = subject.config.workload, subject.base
    length = base.sequence_length(work.training.sequence_length) if base else work.training.sequence_length
    request = dataset.Request(work, subject.found.files, length)
    tokenizer = _tokenizer(base, problems) if base else None
    checked = dataset.check(request, tokenizer, problems, subject.scratch, subject.on_progress)
    validation = checked.validation(problems, subject.report_uri)
    judgement = judge(subject.config, base, subject.source, checked.lengths) if base and subject.source else Judgement()
    extra = _details(subject, checked, length) | {"counts": dict(problems.counts)} | judgement.details()
    json, page = (subject.scratch / Path(path).name for path in (layout.VALIDATION_REPORT, layout.VALIDATION_PAGE))
    made = report.write(json, validation, extra, problems.all())
    reason = unusable(subject, validation, problems)
    result = Examination(validation, checked, judgement, made, json, page, reason)
    usable = reason is None and judgement.refusal is None
    write_page(page, made, problems.all(), usable=usable, verdict=result.verdict, shapes=problems.shapes)
    return result


def unusable(subject: Subject, validation: Validation, problems: ProblemLog) -> str | None:
    """Why there are more problems than the manifest allows: the first in words, and where all of them are."""
    allowed = subject.config.workload.dataset.max_invalid_fraction
    too_many = validation.invalid_rows > allowed * validation.rows
    if not too_many and not problems.beyond_rows:
        return None
    first = validation.errors[0]
    place = first.file + (f" line {first.line}" if first.line else "") + (f", {first.field}" if first.field else "")
    bad = f"{validation.invalid_rows} of {validation.rows} rows cannot be used"
    share = f"{bad} (spec.dataset.maxInvalidFraction admits {allowed:g})" if validation.invalid_rows else ""
    everything = f" All of them: {validation.report_uri}" if validation.report_uri else ""
    return (
        f"{share or 'The data cannot be used as it is'}; problems: {problems.summary()}. "
        f"The first: {place}: {first.message.rstrip('.')}.{everything}"
    )


def in_words(found: Validation, sides: Sides) -> str:
    """The figures of good data in a sentence.

    Args:
        found: the figures.
        sides: what is kept apart to watch training with, and left out of test.
    """
    dropped = f", {found.invalid_rows} dropped" if found.invalid_rows else ""
    tokens = f" ({found.tokens.total} tokens)" if found.tokens.total else ""
    apart = f", {sides.validation_rows} to watch training with" if sides.validation_rows else ""
    again = f" ({sides.repeated_test_rows} more repeat one of them and are left out)" * bool(sides.repeated_test_rows)
    parts = f"{found.train_rows} to train{tokens}{apart}, {found.test_rows} held out{again}"
    return f"{found.rows} rows read{dropped}: {parts}."


def _tokenizer(base: models.BaseModel, problems: ProblemLog) -> Any | None:
    if not base.listing.has_tokenizer:
        _no_tokenizer(base, problems, "the model has no tokenizer.json; add the tokenizer it was made with")
        return None
    try:
        tokenizer = base.tokenizer()
    except Exception as error:  # noqa: BLE001 - damaged files raise whatever the parser at hand raises
        _no_tokenizer(base, problems, f"the model's tokenizer cannot be loaded: {error}")
        return None
    if not tokenizer.is_fast:
        _no_tokenizer(base, problems, "the model's tokenizer has no fast form; add a tokenizer.json")
        return None
    return tokenizer


def _no_tokenizer(base: models.BaseModel, problems: ProblemLog, message: str) -> None:
    problems.add(RowError(code="tokenizer_missing", file=base.listing.source, field=models.FIELD, message=message))


def _details(subject: Subject, checked: dataset.Checked, sequence_length: int) -> JSON:
    """What the report tells beyond the figures in the resource's status."""
    listing = subject.base.listing if subject.base else None
    model = (
        {
            "source": listing.source,
            "revision": listing.revision,
            "digest": listing.digest,
            "files": dict(listing.files),
        }
        if listing
        else None
    )
    return {
        "sequenceLength": sequence_length,
        "distinctAnswers": checked.sides.answers,
        "validationRows": checked.sides.validation_rows,
        "repeatedTestRows": checked.sides.repeated_test_rows,
        "ignoredObjects": list(subject.found.ignored),
        **report.figures(checked, sequence_length),
        "model": model,
        "versions": versions.packages(),
    }
