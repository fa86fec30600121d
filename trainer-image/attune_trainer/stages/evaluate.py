"""Evaluate: the tuned model against its base and other baselines, on the same held-out rows."""

import json
import time
from dataclasses import dataclass
from typing import Any

from attune_contract import layout, uris
from attune_contract.outcome import Artifact, Outcome
from attune_contract.spec import Resources
from attune_trainer import checkpoints, inputs, results, support, versions
from attune_trainer.context import Context
from attune_trainer.distributed import Process
from attune_trainer.evaluation import comparison, general, paper, report, scores, setting, slices, verdicts
from attune_trainer.evaluation.kept import Kept
from attune_trainer.evaluation.pace import Pace
from attune_trainer.evaluation.page import render
from attune_trainer.evaluation.report import Measured
from attune_trainer.evaluation.scores import Scores
from attune_trainer.evaluation.setting import Setting
from attune_trainer.evaluation.siblings import Siblings
from attune_trainer.evaluation.sides import Models
from attune_trainer.methods import device
from attune_trainer.methods.architecture import Architecture


@dataclass(frozen=True)
class Prepared:
    """What is measured, and on which models."""

    setting: Setting
    models: Models
    description: dict[str, Any]
    """Of the checkpoint that is evaluated."""
    text: general.General | None
    """For forgetting."""
    kept: Kept
    """Scores of earlier attempts, and of other runs."""


def run(context: Context) -> Outcome:
    """Scores every model, and leaves the evaluation's reports and every prediction.

    Raises:
        DigestMismatchError: data, model or checkpoint is not what earlier stages left.
        InvalidDataError: the held-out rows cannot tell what the metrics ask, or some of them were learnt.
        InvalidConfigurationError: a baseline cannot be asked as the manifest wants.
    """
    support.demand(context.config)
    given = results.inputs_of(context.config, context.stage, context.run)
    key = results.key(context.config, context.stage, given)
    done = results.find(context.run, key, context.config.run.attempt)
    if done:
        context.log.info("this stage is complete already; its result is reported again")
        return done
    prepared = prepare(context, given)
    started = time.monotonic()
    measured = _measure(context, given, prepared)
    outcome = _finish(context, given, prepared, measured, time.monotonic() - started)
    results.save(context.run, key, outcome)
    return outcome


def prepare(context: Context, given: tuple[Artifact, ...]) -> Prepared:
    """Fetches what earlier stages left, and tokenises the held-out rows once for all models of a tokenizer."""
    work = context.config.workload
    place = device.choose(_one_gpu(context), Process())
    base = inputs.base_model(context, given)
    checkpoint = context.scratch / "checkpoint"
    description = checkpoints.read(context.run, given, checkpoint)
    made = setting.of(context, given, base, place)
    tuned = made.tuned
    text = setting.general_text(context, given, base, tuned.forward) if work.evaluation.forgetting else None
    architecture = Architecture(work, tuned.labels, tuned.forward.padding, base.trust_remote_code)
    models = Models(work, architecture, base, checkpoint, place, together=text is not None)
    kept = Kept(
        files=lambda: context.run,
        run_id=context.config.run.id,
        scratch=context.scratch,
        keys=setting.keys(context, given, made, models),
        siblings=_siblings(context),
        shared=frozenset(side.name for side in made.sides if not side.is_tuned),
    )
    return Prepared(made, models, description, text, kept)


def _siblings(context: Context) -> Siblings:
    """The runs below the same output."""
    runs = layout.run_uri(context.config.workload.output.uri, "")
    return Siblings(context.run.store, runs.rstrip("/") + "/", context.config.run.id)


def _measure(context: Context, given: tuple[Artifact, ...], prepared: Prepared) -> Measured:
    """Scores every row with every model, and judges."""
    made, work = prepared.setting, context.config.workload
    kept, pace = prepared.kept, Pace(context.board, _rows_in_all(prepared))
    own = [side for side in made.sides if side.source is None]
    found = comparison.score(own, prepared.models, kept, pace)
    read = _read_general(prepared, pace)
    found |= comparison.score([s for s in made.sides if s.source is not None], prepared.models, kept, pace)
    evidence = verdicts.Evidence(
        asked=work.evaluation.model_copy(update={"metrics": work.evaluation.resolved_metrics(work.method)}),
        metrics=next(s.kind for s in made.sides if s.is_tuned).metrics(),
        scores={side.name: found[side.name] for side in made.sides},
        slices=slices.of(work.evaluation.slices, made.examples),
        seed=work.training.seed,
        people=setting.people(context, given, made),
        general=read,
    )
    # One question more than the statistics have: the reports, which come after.
    judged = verdicts.judge(evidence, lambda answered, of: pace.judged(answered, of + 1))
    return Measured(made.sides, evidence, judged, made.notices)


def _rows_in_all(prepared: Prepared) -> int:
    return sum(len(side.kind.rows) for side in prepared.setting.sides) + len(prepared.text or ())


def _read_general(prepared: Prepared, pace: Pace) -> Scores | None:
    """Both models on general text, or what an earlier attempt took of it."""
    text, kept = prepared.text, prepared.kept
    if text is None:
        return None
    known = kept.find(general.NAME, text.row_ids)
    if known is not None:
        pace.spared(len(text))
        return known
    path = kept.local(general.NAME)
    scores.write(path, text.scored(prepared.models, pace.scored), general.NAME)
    kept.keep(general.NAME, text.row_ids)
    return scores.read(path, len(text))


def _finish(
    context: Context, given: tuple[Artifact, ...], prepared: Prepared, measured: Measured, seconds: float
) -> Outcome:
    """Uploads predictions, page and report."""
    lines, page = context.scratch / "predictions.jsonl", context.scratch / "evaluation.html"
    report.predictions(measured, lines)
    about = _about(context, prepared, seconds)
    render.write(paper.document(measured, prepared.setting.examples, _run(context, given, about, seconds)), page)
    artifacts = (
        context.run.put_file(layout.PREDICTIONS, lines),
        context.run.put_file(layout.EVALUATION_PAGE, page),
        context.run.put_json(layout.EVALUATION_REPORT, {**about, **report.document(measured)}),
    )
    told = f"{report.in_words(measured.found.results)} {measured.judgement.verdict}: {measured.in_words()}"
    return context.outcome(told).model_copy(
        update={
            "evaluation": measured.found.results,
            "checks": measured.found.checks,
            "artifacts": artifacts,
            "report_uri": context.run.uri(layout.EVALUATION_REPORT),
        }
    )


def _about(context: Context, prepared: Prepared, seconds: float) -> dict[str, Any]:
    """What the evaluation ran on."""
    return {
        "run": context.config.run.id,
        "method": context.config.workload.method.value,
        "step": prepared.description["step"],
        "baselines": _baselines(context, prepared),
        "precision": "bfloat16" if prepared.models.place.bf16 else "float32",
        "seed": context.config.workload.training.seed,
        "seconds": round(seconds, 3),
        "predictions": context.run.uri(layout.PREDICTIONS),
        "page": context.run.uri(layout.EVALUATION_PAGE),
        "versions": versions.packages(),
    }


def _baselines(context: Context, prepared: Prepared) -> dict[str, Any]:
    """Where each baseline comes from, and which other run scored it, where one did."""
    runs, origins = layout.run_uri(context.config.workload.output.uri, ""), prepared.kept.origins
    told = prepared.setting.baselines()
    return {n: {**t, "scoredByRun": uris.join(runs, origins[n])} if n in origins else t for n, t in told.items()}


def _run(context: Context, given: tuple[Artifact, ...], about: dict[str, Any], seconds: float) -> paper.Run:
    """What the page tells of the run besides."""
    reports = {
        path: json.loads(
            context.run.fetch(inputs.demand(given, path), context.scratch / "of-page.json").read_text("utf-8")
        )
        for path in (layout.VALIDATION_REPORT, layout.TRAINING_REPORT)
    }
    validation, config = reports[layout.VALIDATION_REPORT], context.config
    model = validation["model"]
    lineage = {
        "run": {"id": config.run.id, "name": config.run.name, "namespace": config.run.namespace},
        "model": {name: model.get(name) for name in ("source", "revision", "digest")},
        "artifacts": {artifact.path: artifact.digest for artifact in given},
        "seeds": {"training": config.workload.training.seed, "split": config.workload.dataset.split.seed},
        "runtime": {"name": config.runtime.name, "image": config.runtime.image},
        "baselines": about["baselines"],
        "versions": about["versions"],
    }
    return paper.Run(
        config=config,
        validation=validation,
        training=reports[layout.TRAINING_REPORT],
        lineage=lineage,
        seconds=seconds,
        step=int(about["step"]),
        now=context.now(),
    )


def _one_gpu(context: Context) -> Resources:
    """The resources of the one pod that evaluates: its first GPU is enough."""
    resources = context.config.workload.resources
    return resources.model_copy(update={"gpus_per_node": min(1, resources.gpus_per_node)})
