"""Monitor: published versions on the rows that applications dropped lately. Nothing is trained or published."""

from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from attune_contract import layout, uris
from attune_contract.enums import Method
from attune_contract.monitoring import Look, Monitoring, Variant
from attune_contract.outcome import Outcome
from attune_trainer import digests
from attune_trainer.context import Context
from attune_trainer.data import canonical
from attune_trainer.data.examples import digest
from attune_trainer.errors import InvalidConfigurationError
from attune_trainer.monitoring import fresh, look, versions
from attune_trainer.monitoring.fresh import FIELD, Fresh
from attune_trainer.monitoring.look import Reference
from attune_trainer.monitoring.versions import Loaded, Measured, Version
from attune_trainer.versions import packages

_LOOKS, _COMPARISONS = _KINDS = ("looks", "comparisons")
KEPT = 500
"""Looks that the report keeps: nearly ten years of weeks."""


@dataclass(frozen=True)
class _Seen:
    """What a look is concluded from."""

    champion: Version
    rows: Fresh
    reference: Reference
    measured: dict[Variant, Measured]
    notices: tuple[str, ...]


def run(context: Context) -> Outcome:
    """Takes one look, and puts it at the head of reports/monitoring.json.

    Raises:
        InvalidConfigurationError: nothing is asked, or a URI lies outside what the runtime allows.
        DigestMismatchError: a published version is not what was published.
        BlockedError: Secret, bucket or access is missing.
    """
    asked = _demand(context)
    kind = _COMPARISONS if fresh.held_out_by(asked) else _LOOKS
    history = _history(context)
    done = _find(history[kind], asked)
    if done is not None:
        context.log.info("this look is taken already; its result is reported again")
        return _outcome(context, Monitoring.model_validate(done["look"]))
    seen = _compare(context, asked) if kind is _COMPARISONS else _see(context, asked)
    if kind is _COMPARISONS:
        found = look.compare(asked, seen.rows, seen.measured)
    else:
        found = look.conclude(asked, seen.champion.work.method, seen.rows, seen.reference, seen.measured)
    entry = {
        "key": _key(asked),
        "look": found.model_dump(mode="json", exclude_none=True),
        "asked": asked.model_dump(mode="json"),
        "files": seen.rows.files,
        "notices": list(seen.notices),
        "problems": [problem.model_dump(mode="json", exclude_none=True) for problem in seen.rows.problems],
        "takenAt": context.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "versions": packages(),
    }
    report = {"tunedModel": context.config.run.name, **history, kind: [entry, *history[kind]][:KEPT]}
    context.run.put_json(layout.MONITORING_REPORT, report)
    return _outcome(context, found)


def _demand(context: Context) -> Look:
    asked = context.config.monitoring
    if asked is None:
        raise InvalidConfigurationError("monitoring: the Monitor stage needs this block of RunConfig; give it.")
    if asked.variants[0].variant is not Variant.CHAMPION:
        raise InvalidConfigurationError("monitoring.variants: the first must be the champion.")
    named = {FIELD: asked.source, "spec.output.uri": context.config.workload.output.uri}
    named |= {f"the {p.variant} {p.version}": p.run_uri for p in asked.variants}
    allowed = context.config.runtime.allowed_uris
    outside = [f"{name} ({uri})" for name, uri in named.items() if not uris.is_allowed(uri, allowed)]
    if outside:
        raise InvalidConfigurationError(
            f"TuningRuntime {context.config.runtime.name} allows {', '.join(allowed)}, and these lie outside: "
            f"{'; '.join(outside)}."
        )
    return asked


def _history(context: Context) -> dict[str, list[dict[str, Any]]]:
    """Earlier looks, the last one first."""
    found = context.run.read_json(layout.MONITORING_REPORT)
    document = found if isinstance(found, dict) else {}
    return {kind: [each for each in document.get(kind) or () if isinstance(each, dict)] for kind in _KINDS}


def _find(history: list[dict[str, Any]], asked: Look) -> dict[str, Any] | None:
    return next((each for each in history if each.get("key") == _key(asked)), None)


def _key(asked: Look) -> str:
    return digests.of_json(asked.model_dump(mode="json"))


def _see(context: Context, asked: Look) -> _Seen:
    """Reads rows first: of too few, no model is fetched."""
    read = [versions.read(context, published) for published in asked.variants]
    champion = read[0]
    rows = fresh.read(context, asked, champion.work)
    context.log.info("%d recent rows, %d with an answer", rows.rows, rows.answered)
    if rows.rows < asked.min_rows:
        return _Seen(champion, rows, Reference((), {}, None), {}, ())
    loaded = [versions.load(context, version) for version in read]
    known = reference(loaded[0], asked)
    rows_asked, learnt = _unlearnt(loaded, _askable(champion, rows, read))
    rows = replace(rows, learnt=learnt)
    if not rows_asked or (len(rows_asked) < asked.min_rows and len(read) == 1):
        return _Seen(champion, rows, known, {}, ())
    measured, notices = _measured(loaded, rows_asked)
    held_out = loaded[0].measure(loaded[0].held_out(asked.max_rows, asked.seed), "held-out")
    return _Seen(champion, rows, replace(known, figures=held_out), measured, notices)


def _compare(context: Context, asked: Look) -> _Seen:
    """Both versions on the rows that one of them was evaluated on."""
    read = [versions.read(context, published) for published in asked.variants]
    if len({canonical.kind_of(version.work.method).make for version in read}) > 1:
        methods = " and ".join(version.work.method.value for version in read)
        told = f"Champion and challenger learnt by {methods}, which read different rows: no row can be put to both."
        return _Seen(read[0], fresh.NOTHING, Reference((), {}, None), {}, (told,))
    rows = fresh.of_run(context, asked, read[0].work)
    loaded = [versions.load(context, version) for version in read]
    rows_asked = _askable(read[0], rows, read)
    measured, notices = _measured(loaded, rows_asked) if rows_asked else ({}, ())
    return _Seen(read[0], rows, Reference((), {}, None), measured, notices)


def _measured(loaded: list[Loaded], rows: list[Any]) -> tuple[dict[Variant, Measured], tuple[str, ...]]:
    """Figures of each version that can be asked these rows, and which cannot."""
    alike, notices = _alike(loaded)
    return {each.version.published.variant: each.measure(rows, "rows") for each in alike}, notices


def reference(champion: Loaded, asked: Look) -> Reference:
    """The training data of the champion: prompts of some rows by lot, labels of all."""
    method, kind = champion.version.work.method, canonical.kind_of(champion.version.work.method)
    paths = champion.drawn_from()
    chosen = fresh.sample(list(range(sum(map(canonical.count, paths)))), asked.max_rows, asked.seed)
    prompts: list[str] = []
    labels: dict[str, int] = {}
    for index, row in enumerate(chain.from_iterable(canonical.read(path, kind) for path in paths)):
        if index in chosen:
            prompts.append(row.prompt_text())
        label = look.label_of(method, row)
        if label is not None and (label in labels or len(labels) <= look.most_labels(method)):
            labels[label] = labels.get(label, 0) + 1
    return Reference(prompts, labels, None)


def _askable(champion: Version, rows: Fresh, read: list[Version]) -> list[Any]:
    """Rows with an answer that each version knows: a label that came since counts as a shift, not as an error."""
    if champion.work.method is not Method.CLASSIFICATION:
        return list(rows.labelled)
    known = set.intersection(*(set(version.manifest["labels"] or ()) for version in read))
    return [row for row in rows.labelled if row.label in known]


def _unlearnt(loaded: list[Loaded], rows: list[Any]) -> tuple[list[Any], int]:
    """The rows that no version has learnt, and how many others there are: those a version may know by heart."""
    keys = [digest(row) for row in rows]
    learnt = set[str]().union(*(each.learnt(set(keys)) for each in loaded))
    left = [row for row, key in zip(rows, keys, strict=True) if key not in learnt]
    return left, len(rows) - len(left)


def _alike(loaded: list[Loaded]) -> tuple[list[Loaded], tuple[str, ...]]:
    """Versions that can be asked the champion's rows, and which cannot."""
    kind = canonical.kind_of(loaded[0].version.work.method)
    able = [each for each in loaded if canonical.kind_of(each.version.work.method) is kind]
    notices = tuple(
        f"{each.version.published.version} learnt by {each.version.work.method.value}, which reads other rows than the "
        "champion; it is not evaluated."
        for each in loaded
        if each not in able
    )
    return able, notices


def _outcome(context: Context, found: Monitoring) -> Outcome:
    return context.outcome(found.sentence).model_copy(
        update={"monitoring": found, "report_uri": context.run.uri(layout.MONITORING_REPORT)}
    )
