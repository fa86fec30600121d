"""Preflight: can this run work? Everything is looked at, every row is read, and all that is wrong is said at once."""

from dataclasses import dataclass
from typing import Any

from attune_contract import layout
from attune_contract.enums import MetricName
from attune_contract.outcome import Artifact, Outcome, RowError, Validation
from attune_trainer import models, results, support, versions
from attune_trainer.context import Context
from attune_trainer.data import dataset, objects, report
from attune_trainer.data.encoding import Encoder
from attune_trainer.data.problems import ProblemLog
from attune_trainer.errors import BlockedError, InvalidDataError, blocked

_PROBE = "reports/.probe"


@dataclass(frozen=True)
class Access:
    """What is there, before any of it is read."""

    model: models.Listing
    data: objects.Found


def run(context: Context) -> Outcome:
    """Checks configuration, access, model and every row; leaves the canonical data and the validation report.

    Raises:
        InvalidConfigurationError: the configuration cannot work with any data.
        BlockedError: something that a person must provide is missing; names all of it.
        InvalidDataError: rows or files cannot be used; the report that lists them is written.
    """
    support.demand(context.config)
    problems = ProblemLog(context.scratch / "problems.jsonl")
    access = look_at_everything(context, problems)
    key = results.key(context.config, context.stage, ())
    done = results.find(context.run, key, context.config.run.attempt)
    if done:
        context.log.info("this stage is complete already; its result is reported again")
        return done
    base = models.ModelSource(context.config, context.stores).fetch(access.model, weights=False)
    models.check_small_files(base)
    request = _request(context, base, access.data)
    encoder = _encoder(base, request.sequence_length, problems)
    checked = dataset.check(request, encoder, problems, context.scratch, lambda rows: context.board.update(step=rows))
    validation = checked.validation(problems, context.run.uri(layout.VALIDATION_REPORT))
    extra = _details(request, checked, access) | {"counts": dict(problems.counts)}
    report.write(context.scratch / "validation.json", validation, extra, problems.all())
    written = context.run.put_file(layout.VALIDATION_REPORT, context.scratch / "validation.json")
    demand_usable(context, validation, problems, written)
    data = (
        context.run.put_file(layout.TRAIN_DATA, checked.sides.train),
        context.run.put_file(layout.TEST_DATA, checked.sides.test),
    )
    outcome = context.outcome(_in_words(validation)).model_copy(
        update={"validation": validation, "artifacts": (*data, written), "report_uri": validation.report_uri}
    )
    results.save(context.run, key, outcome)
    return outcome


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
    try:
        context.run.put_bytes(_PROBE, b"")
        context.run.store.delete(context.run.uri(_PROBE))
    except BlockedError as error:
        text = str(error)
        missing.append(error if text.startswith("spec.") else type(error)(f"spec.output.uri: {text}"))
    if missing or listing is None:
        raise blocked(missing)
    return Access(listing, found)


def demand_usable(context: Context, validation: Validation, problems: ProblemLog, written: Artifact) -> None:
    """Ends the stage where there are more problems than the manifest allows.

    Raises:
        InvalidDataError: with the first problem in words, and where all of them are.
    """
    allowed = context.config.workload.dataset.max_invalid_fraction
    too_many = validation.invalid_rows > allowed * validation.rows
    if not too_many and not problems.beyond_rows:
        return
    first = validation.errors[0]
    place = first.file + (f" line {first.line}" if first.line else "") + (f", {first.field}" if first.field else "")
    share = f" (spec.dataset.maxInvalidFraction admits {allowed:g})" if validation.invalid_rows else ""
    raise InvalidDataError(
        f"{validation.invalid_rows} of {validation.rows} rows cannot be used{share}; problems: {problems.summary()}. "
        f"The first: {place}: {first.message}. All of them: {validation.report_uri}",
        validation,
        (written,),
    )


def _request(context: Context, base: models.BaseModel, found: objects.Found) -> dataset.Request:
    work = context.config.workload
    return dataset.Request(
        spec=work.dataset,
        files=found.files,
        model=work.model.source,
        sequence_length=base.sequence_length(work.training.sequence_length),
        needs_closed_set=any(metric.name is MetricName.ACCURACY for metric in work.evaluation.metrics),
    )


def _encoder(base: models.BaseModel, sequence_length: int, problems: ProblemLog) -> Encoder | None:
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
    return Encoder(tokenizer, sequence_length)


def _no_tokenizer(base: models.BaseModel, problems: ProblemLog, message: str) -> None:
    problems.add(RowError(code="tokenizer_missing", file=base.listing.source, field=models.FIELD, message=message))


def _details(request: dataset.Request, checked: dataset.Checked, access: Access) -> dict[str, Any]:
    """What the report tells beyond the figures in the resource's status."""
    return {
        "sequenceLength": request.sequence_length,
        "distinctAnswers": checked.sides.answers,
        "ignoredObjects": list(access.data.ignored),
        "data": report.lineage(checked.sources),
        "model": {
            "source": access.model.source,
            "revision": access.model.revision,
            "digest": access.model.digest,
            "files": dict(access.model.files),
        },
        "versions": versions.packages(),
    }


def _in_words(found: Validation) -> str:
    dropped = f", {found.invalid_rows} dropped" if found.invalid_rows else ""
    return (
        f"{found.rows} rows read{dropped}: {found.train_rows} to train ({found.tokens.total} tokens), "
        f"{found.test_rows} held out."
    )
