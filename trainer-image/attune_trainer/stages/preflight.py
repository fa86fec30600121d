"""Preflight: can this run work? Everything is looked at, every row is read, and all that is wrong is said at once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attune_contract import layout
from attune_contract.outcome import Artifact, Outcome
from attune_trainer import models, results, support
from attune_trainer.context import Context
from attune_trainer.data import general, objects
from attune_trainer.data.check import Progress
from attune_trainer.data.figures import Sides
from attune_trainer.data.problems import ProblemLog
from attune_trainer.errors import BlockedError, InvalidDataError, blocked
from attune_trainer.evaluation import needs
from attune_trainer.evaluation.textmetrics import structure
from attune_trainer.examination import Examination, Subject, examine, in_words

_PROBE = "reports/.probe"


@dataclass(frozen=True)
class Access:
    """What is there, before any of it is read."""

    model: models.Listing
    data: objects.Found
    general: tuple[objects.DataFile, ...] = ()
    """Files of spec.evaluation.forgetting."""


def run(context: Context) -> Outcome:
    """Checks configuration, access, model and every row; leaves the canonical data and the validation report.

    Raises:
        InvalidConfigurationError: the configuration cannot work with any data.
        BlockedError: something that a person must provide is missing; names all of it.
        InvalidDataError: rows or files cannot be used; the report that lists them is written.
        DoesNotFitError, OverBudgetError: the data is good, and training would need more than there is.
    """
    support.demand(context.config)
    structure.check(context.config.workload.evaluation.metrics or ())
    problems = ProblemLog(context.scratch / "problems.jsonl")
    access = look_at_everything(context, problems)
    key = results.key(context.config, context.stage, ())
    done = results.find(context.run, key, context.config.run.attempt)
    if done:
        context.log.info("this stage is complete already; its result is reported again")
        return done
    source = models.ModelSource(context.config, context.stores)
    base = source.fetch(access.model, weights=False)
    models.check_small_files(base)
    uri = context.run.uri(layout.VALIDATION_REPORT)
    subject = Subject(context.config, access.data, base, source, context.scratch, _telling(context), uri)
    texts = general.read(context.config.workload, access.general, problems, context.scratch)
    found = examine(subject, problems)
    written = context.run.put_file(layout.VALIDATION_REPORT, found.json)
    context.run.put_file(layout.VALIDATION_PAGE, found.page)
    if found.unusable:
        raise InvalidDataError(found.unusable, found.validation, (written,))
    said = _judgements(context, found, written)
    found.judgement.demand(found.validation, (written,))
    data = _put(context, found.checked.sides, texts, said)
    told = in_words(found.validation, found.checked.sides) + found.judgement.in_words()
    outcome = context.outcome(told).model_copy(
        update={
            "validation": found.validation,
            "estimate": found.judgement.estimate,
            "artifacts": (*data, written),
            "report_uri": found.validation.report_uri,
        }
    )
    results.save(context.run, key, outcome)
    return outcome


def _judgements(context: Context, found: Examination, written: Artifact) -> Path | None:
    """What people said of answers, made sure that it is about rows that are held out.

    Raises:
        InvalidDataError: it is not, or cannot be read; with the figures of the data that it is said of.
    """
    try:
        return needs.check_judgements(
            context.config.workload, context.stores, found.checked.sides.test, context.scratch
        )
    except InvalidDataError as error:
        wrong = error.validation
        told = {"error_count": wrong.error_count, "errors": wrong.errors} if wrong else {}
        raise InvalidDataError(str(error), found.validation.model_copy(update=told), (written,)) from error


def _put(context: Context, sides: Sides, texts: Path | None, said: Path | None) -> tuple[Artifact, ...]:
    """Uploads the canonical rows, and what people said of answers."""
    files = {
        layout.TRAIN_DATA: sides.train,
        layout.VALIDATION_DATA: sides.validation,
        layout.TEST_DATA: sides.test,
        layout.GENERAL_DATA: texts,
    }
    if said:
        files[layout.JUDGEMENTS[said.suffix]] = said
    return tuple(context.run.put_file(path, file) for path, file in files.items() if file)


def look_at_everything(context: Context, problems: ProblemLog) -> Access:
    """Asks every store for everything that is needed: model, data, and whether the output can be written.

    Raises:
        BlockedError: names all that a person must provide.
    """
    missing: list[BlockedError] = []
    listing: models.Listing | None = None
    try:
        listing = models.ModelSource(context.config, context.stores).look()
    except BlockedError as error:
        missing.append(error)
    data = context.config.workload.dataset
    found = objects.find(context.stores, data.train, data.test, problems, missing)
    texts = general.find(context.config.workload, context.stores, problems, missing)
    needs.look(context.config, context.stores, missing)
    try:
        context.run.put_bytes(_PROBE, b"")
        context.run.store.delete(context.run.uri(_PROBE))
    except BlockedError as error:
        text = str(error)
        missing.append(error if text.startswith("spec.") else type(error)(f"spec.output.uri: {text}"))
    if missing or listing is None:
        raise blocked(missing)
    return Access(listing, found, texts)


def _telling(context: Context) -> Callable[[Progress], None]:
    return lambda progress: context.board.update(step=progress.rows, total_steps=progress.total)
