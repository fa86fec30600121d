"""What an evaluation is about to compare: the held-out rows as each model is asked them, and where models come from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attune_contract import layout
from attune_contract.enums import ClassificationStyle, Method, MetricName
from attune_contract.outcome import Artifact
from attune_contract.runconfig import RunConfig
from attune_contract.spec import Baseline, Workload
from attune_trainer import inputs, models, versions
from attune_trainer.context import Context
from attune_trainer.data import canonical
from attune_trainer.data.encoding.select import encoder_for
from attune_trainer.data.encoding.text import TextEncoder
from attune_trainer.data.examples import digest
from attune_trainer.errors import InvalidConfigurationError, InvalidDataError, StageError
from attune_trainer.evaluation import comparison, general, prompting
from attune_trainer.evaluation.forward import Forward
from attune_trainer.evaluation.general import General
from attune_trainer.evaluation.kinds.base import Given
from attune_trainer.evaluation.kinds.select import kind_for
from attune_trainer.evaluation.kinds.supervised import SOME_MORE
from attune_trainer.evaluation.needs import baselines
from attune_trainer.evaluation.others import base_of, source_of
from attune_trainer.evaluation.sides import BASE, TUNED, Models, Side
from attune_trainer.evaluation.textmetrics import human, judgements
from attune_trainer.evaluation.textmetrics.human import HumanPreference
from attune_trainer.evaluation.verdicts import People
from attune_trainer.methods import loading
from attune_trainer.methods.architecture import labels_of
from attune_trainer.methods.causal import LABELS_FILE
from attune_trainer.methods.device import Device

_NAMED = 3


@dataclass(frozen=True)
class Setting:
    """Everything that is compared.

    Args:
        sides: base first, then the baselines that are the base otherwise asked, tuned, and other models last.
        givens: what each side's rows are made from.
        examples: the held-out rows.
        notices: what must be read before anything else.
    """

    sides: tuple[Side, ...]
    givens: Mapping[str, Given]
    examples: tuple[Any, ...]
    notices: tuple[str, ...]

    @property
    def tuned(self) -> Given:
        """What the tuned model's rows are made from."""
        return self.givens[TUNED]

    def baselines(self) -> dict[str, Any]:
        """For the report: where each baseline comes from, and what goes before its prompts."""
        return {side.name: _told(side, self.givens[side.name]) for side in self.sides if not side.is_tuned}


def of(context: Context, given: tuple[Artifact, ...], base: models.BaseModel, place: Device) -> Setting:
    """Fetches rows and other models, and tokenises.

    Raises:
        InvalidDataError: held-out rows are among those of train, and spec.evaluation.allowLeakage is false.
        InvalidConfigurationError: a baseline's prompts are longer than its model can read.
    """
    work = context.config.workload
    train = context.run.fetch(inputs.demand(given, layout.TRAIN_DATA), context.scratch / "train.parquet")
    test = context.run.fetch(inputs.demand(given, layout.TEST_DATA), context.scratch / "test.parquet")
    plain = given_of(context.config.workload, base, place, train, test)
    examples = plain.held_out()
    notices = list(_leaks(context, train, examples))
    kind = kind_for(plain)
    givens = {BASE: plain, TUNED: plain}
    sides, others = [Side(BASE, kind)], list[Side]()
    for asked in work.evaluation.baselines:
        if asked.name == BASE:
            continue
        model = _fetched(context, asked, base) if asked.source else None
        if model and (changed := _changed(context, asked, model, base)):
            notices.append(_left_out(asked, base, changed))
            continue
        whole = model is not None and not model.listing.is_adapter
        own = given_of(work, model, place, train, test) if model and whole else plain
        if model and work.resolved_classification().style is ClassificationStyle.HEAD and plain.labels:
            _demand_same_labels(asked, model, plain)
        own = _prompted(own, asked, model if model and whole else base, examples)
        givens[asked.name] = own
        alike = own is plain
        (others if model else sides).append(Side(asked.name, kind if alike else kind_for(own), model))
    return Setting((*sides, Side(TUNED, kind), *others), givens, tuple(examples), tuple(notices))


def given_of(work: Workload, base: models.BaseModel, place: Device, train: Path, test: Path) -> Given:
    """What the held-out rows of a model are made from.

    Args:
        work: the manifest's blocks.
        base: the model's small files.
        place: where it runs.
        train: parquet of the training rows.
        test: parquet of the held-out rows.
    """
    tokenizer, labels = base.tokenizer(), labels_of(work, train)
    return Given(
        work=work,
        encoder=encoder_for(work, tokenizer, base.sequence_length(work.training.sequence_length), labels),
        labels=labels,
        train=train,
        test=test,
        metrics=work.evaluation.resolved_metrics(work.method),
        forward=Forward(
            device=place.name,
            padding=loading.padding_id(tokenizer),
            vocabulary=max(int(base.config().get("vocab_size", 0)), len(tokenizer)),
        ),
    )


def _fetched(context: Context, asked: Baseline, base: models.BaseModel) -> models.BaseModel:
    """Another model, with its own tokenizer and chat template; its commit or content is in the report.

    An earlier run's adapter is taken where it was trained on the same base, which it then shares with the run's own.
    """
    assert asked.source is not None, "asked for only where there is one"  # noqa: S101
    config: RunConfig = context.config
    source = source_of(config, context.stores, asked.source)
    try:
        fetched = source.fetch(source.look(), weights=True)
        if fetched.listing.is_adapter:
            return _on_base(asked, fetched, base)
        models.check_small_files(fetched)
    except StageError as error:
        raise type(error)(str(error).replace(models.FIELD, f"spec.evaluation.baselines ({asked.name})")) from error
    if fetched.tokenizer().chat_template is None:  # of a base model: it is asked as this run's models are
        return replace(fetched, chat_template=config.workload.model.chat_template)
    return fetched


def _on_base(asked: Baseline, adapter: models.BaseModel, base: models.BaseModel) -> models.BaseModel:
    """An adapter as the run's base can take it.

    Raises:
        InvalidConfigurationError: it belongs to another base.
    """
    said = json.loads((adapter.folder / models.ADAPTER).read_text(encoding="utf-8"))
    named = said.get("base_model_name_or_path")
    if named != base.listing.source:
        raise InvalidConfigurationError(
            f"spec.evaluation.baselines ({asked.name}): {asked.source} is an adapter of {named}, and this run's model "
            f"is {base.listing.source}. Only adapters of the same model can be compared; publish it as Merged or Both."
        )
    return adapter


def _changed(context: Context, asked: Baseline, model: models.BaseModel, base: models.BaseModel) -> list[str]:
    """Files of the run's base that are others than those an earlier run's adapter was trained on."""
    before = base_of(context.config, context.stores, str(asked.source)) if model.listing.is_adapter else None
    if before is None:
        return []
    now, code = base.listing.files, base.trust_remote_code
    names = (name for name in {*before, *now} if models.wanted(name, weights=True, code=code))
    return sorted(name for name in names if before.get(name) != now.get(name))


def _left_out(asked: Baseline, base: models.BaseModel, changed: list[str]) -> str:
    return (
        f"Baseline {asked.name} is left out, and what the gate requires over it is not measured: {asked.source} is an "
        f"adapter of {base.listing.source} as it was, and {', '.join(changed[:_NAMED])} changed there since. Put the "
        "model back, or publish as Merged or Both, which is compared whatever becomes of the base."
    )


def _demand_same_labels(asked: Baseline, model: models.BaseModel, own: Given) -> None:
    """A classification head says numbers, which mean something only where the labels are the same.

    Raises:
        InvalidConfigurationError: the model has others, or tells none.
    """
    file = model.folder / LABELS_FILE
    known = [entry["label"] for entry in json.loads(file.read_text("utf-8"))] if file.is_file() else []
    if known != list(own.labels):
        raise InvalidConfigurationError(
            f"spec.evaluation.baselines ({asked.name}): the head of {asked.source} knows the labels "
            f"{', '.join(known) or '(none are told)'}, and this run has {', '.join(own.labels)}. List the labels in "
            "spec.classification.labels in both runs."
        )


def _prompted(own: Given, asked: Baseline, model: models.BaseModel, examples: list[Any]) -> Given:
    """With what goes before prompts, and as much more room as that takes: the rows are cut where they were."""
    before = prompting.of(asked, own.work, own.train)
    if not before or not examples:
        return own
    first = examples[0]
    more = own.encoder.lengths([before.before(first)])[0] - own.encoder.lengths([first])[0]
    encoder = replace(own.encoder, sequence_length=own.encoder.sequence_length + max(0, more))
    longest = max(encoder.lengths([before.before(example) for example in examples]))
    needed = min(longest, encoder.sequence_length) + SOME_MORE
    positions = model.config().get("max_position_embeddings")
    if isinstance(positions, int) and 0 < positions < needed:
        raise InvalidConfigurationError(
            f"spec.evaluation.baselines ({asked.name}): with its system prompt and {len(before.shots)} examples a row "
            f"takes {needed} tokens, and the model reads {positions}. Use a shorter systemPrompt, or a smaller fewShot."
        )
    return replace(own, encoder=encoder, prompting=before)


def _leaks(context: Context, train: Path, examples: list[Any]) -> tuple[str, ...]:
    """What must be said of rows that were learnt; preflight has refused them, and this holds even where it did not.

    Raises:
        InvalidDataError: there are such rows, and the manifest does not allow them.
    """
    work = context.config.workload
    held_out = {digest(example): example.row_id for example in examples}
    kind = canonical.kind_of(work.method)
    learnt = {key for row in canonical.read(train, kind) if (key := digest(row)) in held_out}
    if not learnt:
        return ("spec.evaluation.allowLeakage is true; no held-out row is in train.",) if _allows(context) else ()
    some = ", ".join(sorted(held_out[key] for key in learnt)[:_NAMED])
    if _allows(context):
        told = (
            f"{len(learnt)} of the {len(examples)} held-out rows were learnt (spec.evaluation.allowLeakage is true): "
            f"the figures look better than the model is. Such as {some}."
        )
        return (told,)
    raise InvalidDataError(
        f"{len(learnt)} of the {len(examples)} held-out rows are in train too, such as {some}: figures on them say "
        "nothing. Remove them from one of the two, or set spec.evaluation.allowLeakage to true."
    )


def _allows(context: Context) -> bool:
    return context.config.workload.evaluation.allow_leakage


def general_text(context: Context, given: tuple[Artifact, ...], base: models.BaseModel, forward: Forward) -> General:
    """General text as the base reads it."""
    path = context.run.fetch(inputs.demand(given, layout.GENERAL_DATA), context.scratch / "general.parquet")
    length = base.sequence_length(context.config.workload.training.sequence_length)
    return General(path, TextEncoder(base.tokenizer(), length), forward)


def people(context: Context, given: tuple[Artifact, ...], made: Setting) -> People | None:
    """What people say of the answers, where HumanPreference is asked for.

    Raises:
        InvalidDataError: their file cannot be used, with every problem.
    """
    work = context.config.workload
    asked = next((m for m in work.evaluation.metrics or () if m.name is MetricName.HUMAN_PREFERENCE), None)
    if asked is None or asked.ratings is None:
        return None
    kind = ".csv" if asked.ratings.endswith(".csv") else ".jsonl"
    kept = inputs.demand(given, layout.JUDGEMENTS[kind])  # what preflight looked at, whatever is at the URI now
    target = context.run.fetch(kept, context.scratch / f"judgements{kind}")
    rows = tuple(example.row_id for example in made.examples)
    names = [side.name for side in made.sides if not side.is_tuned]
    found = judgements.read(target, rows, baselines(work), asked.ratings)
    judged = {name: human.against(found, name) for name in names}
    return People(HumanPreference(found.kind), rows, {n: said for n, said in judged.items() if said is not None})


def keys(context: Context, given: tuple[Artifact, ...], made: Setting, side_models: Models) -> dict[str, Any]:
    """By side, all that its scores follow from."""
    work = context.config.workload
    common = {
        "metrics": [metric.model_dump(mode="json") for metric in work.evaluation.resolved_metrics(work.method)],
        "method": work.method.value,
        "classification": work.resolved_classification().model_dump(mode="json"),
        "chatTemplate": work.model.chat_template,
        "sequenceLength": work.training.sequence_length,
        "seed": work.training.seed,
        "precision": [str(side_models.place.name), side_models.place.bf16, work.tuning.type.value],
        "code": comparison.code_digest(),
        "versions": versions.packages(),
    }
    base, tuned = side_models.base.listing.digest, _checkpoint(given)
    found: dict[str, Any] = {
        general.NAME: {**common, "data": _digests(given, (layout.GENERAL_DATA,)), "model": [base, tuned]}
    }
    for side in made.sides:
        model = [base, tuned] if side.is_tuned else _weights(side, base)
        prompting = made.givens[side.name].prompting
        # Examples are drawn from train, and labels may be those that it has; otherwise what is learnt is of no account.
        reads_train = bool(prompting.shots) or work.method is Method.CLASSIFICATION
        rows = _digests(given, (layout.TEST_DATA, *((layout.TRAIN_DATA,) if reads_train else ())))
        found[side.name] = {**common, "data": rows, "model": model, "before": prompting.document()}
    return found


def _weights(side: Side, base: str) -> list[str]:
    """What identifies the weights of a baseline: of an adapter, those below it too."""
    if side.source is None:
        return [base]
    own = side.source.listing
    return [own.digest, base] if own.is_adapter else [own.digest]


def _digests(given: tuple[Artifact, ...], paths: Sequence[str]) -> dict[str, str]:
    return {artifact.path: artifact.digest for artifact in given if artifact.path in paths}


def _checkpoint(given: tuple[Artifact, ...]) -> list[str]:
    return sorted(a.digest for a in given if a.path.startswith(f"{layout.CHECKPOINTS}/"))


def _told(side: Side, given: Given) -> dict[str, Any]:
    source = side.source.listing if side.source else None
    told = {"source": source.source, "revision": source.revision, "digest": source.digest} if source else {}
    return {**told, **(given.prompting.document() if given.prompting else {})}
