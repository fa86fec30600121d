"""Evaluate: the tuned model against its base, on the same held-out rows, tokens and batches."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from attune_contract import layout
from attune_contract.enums import MetricName
from attune_contract.outcome import Artifact, MetricResult, Outcome
from attune_contract.spec import Resources
from attune_trainer import checkpoints, inputs, models, results, support, versions
from attune_trainer.context import Context
from attune_trainer.data.encoding.select import encoder_for
from attune_trainer.distributed import Process
from attune_trainer.evaluation import comparison
from attune_trainer.evaluation.forward import Forward
from attune_trainer.evaluation.kinds.base import Given
from attune_trainer.evaluation.kinds.select import kind_for
from attune_trainer.evaluation.sides import Sides
from attune_trainer.methods import device, loading
from attune_trainer.methods.architecture import Architecture, labels_of


@dataclass(frozen=True)
class Setup:
    """What is measured, and on which models."""

    sides: Sides
    metrics: tuple[MetricName, ...]
    step: int
    """Of the checkpoint that is evaluated."""


def run(context: Context) -> Outcome:
    """Scores base and tuned, and leaves the evaluation's report and every prediction.

    Raises:
        DigestMismatchError: data, model or checkpoint is not what earlier stages left.
        InvalidDataError: the held-out rows cannot tell what the metrics ask.
    """
    support.demand(context.config)
    given = results.inputs_of(context.config, context.stage, context.run)
    key = results.key(context.config, context.stage, given)
    done = results.find(context.run, key, context.config.run.attempt)
    if done:
        context.log.info("this stage is complete already; its result is reported again")
        return done
    setup = _prepare(context, given)
    predictions = context.scratch / "predictions.jsonl"
    started = time.monotonic()
    tallies = comparison.score(setup.sides, context.scratch, predictions)
    measures = setup.sides.kind.measures()
    found = tuple(measures[metric].result(metric, *tallies) for metric in setup.metrics)
    report = _report(context, setup, found, time.monotonic() - started)
    artifacts = (
        context.run.put_file(layout.PREDICTIONS, predictions),
        context.run.put_json(layout.EVALUATION_REPORT, report),
    )
    outcome = context.outcome(in_words(found)).model_copy(
        update={
            "evaluation": found,
            "artifacts": artifacts,
            "report_uri": context.run.uri(layout.EVALUATION_REPORT),
        }
    )
    results.save(context.run, key, outcome)
    return outcome


def _prepare(context: Context, given: tuple[Artifact, ...]) -> Setup:
    """Fetches what earlier stages left, and tokenises the held-out rows once for both models."""
    work = context.config.workload
    place = device.choose(_one_gpu(context), Process())
    base = inputs.base_model(context, given)
    checkpoint = context.scratch / "checkpoint"
    description = checkpoints.read(context.run, given, checkpoint)
    metrics = tuple(dict.fromkeys(metric.name for metric in work.evaluation.resolved_metrics(work.method)))
    rows = _given(context, given, base, place, metrics)
    kind = kind_for(rows)
    architecture = Architecture(work, rows.labels, rows.forward.padding, base.trust_remote_code)
    on_rows = _counting(context, 2 * len(kind.rows))
    sides = Sides(work, architecture, base, checkpoint, place, kind, on_rows)
    return Setup(sides, metrics, int(description["step"]))


def _given(
    context: Context,
    given: tuple[Artifact, ...],
    base: models.BaseModel,
    place: device.Device,
    metrics: tuple[MetricName, ...],
) -> Given:
    work = context.config.workload
    train = context.run.fetch(inputs.demand(given, layout.TRAIN_DATA), context.scratch / "train.parquet")
    test = context.run.fetch(inputs.demand(given, layout.TEST_DATA), context.scratch / "test.parquet")
    tokenizer, labels = base.tokenizer(), labels_of(work, train)
    return Given(
        work=work,
        encoder=encoder_for(work, tokenizer, base.sequence_length(work.training.sequence_length), labels),
        labels=labels,
        train=train,
        test=test,
        metrics=metrics,
        forward=Forward(
            device=place.name,
            padding=loading.padding_id(tokenizer),
            vocabulary=max(int(base.config().get("vocab_size", 0)), len(tokenizer)),
        ),
    )


def _one_gpu(context: Context) -> Resources:
    """The resources of the one pod that evaluates: its first GPU is enough."""
    resources = context.config.workload.resources
    return resources.model_copy(update={"gpus_per_node": min(1, resources.gpus_per_node)})


def _counting(context: Context, total: int) -> Callable[[int], None]:
    """Tells the board how many of the rows (of both models) are done, and how long the rest takes."""
    started = time.monotonic()
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        left = (time.monotonic() - started) / done * (total - done)
        context.board.update(step=done, total_steps=total, eta_seconds=round(left, 1))

    context.board.update(total_steps=total)
    return count


def _report(context: Context, setup: Setup, found: tuple[MetricResult, ...], seconds: float) -> dict[str, Any]:
    kind, place = setup.sides.kind, setup.sides.place
    measures = kind.measures()
    return {
        "run": context.config.run.id,
        "method": context.config.workload.method.value,
        "step": setup.step,
        "rows": len(kind.rows),
        "results": [
            {
                **result.model_dump(mode="json", exclude_none=True),
                "definition": measures[result.metric].definition,
                "interval": measures[result.metric].certainty,
            }
            for result in found
        ],
        **kind.details(),
        "precision": "bfloat16" if place.bf16 else "float32",
        "seconds": round(seconds, 3),
        "predictions": context.run.uri(layout.PREDICTIONS),
        "versions": versions.packages(),
    }


def in_words(found: tuple[MetricResult, ...]) -> str:
    """The results in one sentence."""
    parts = [f"{r.metric.value} {r.value:.4g} → {r.tuned:.4g}" for r in found]
    return f"Base → tuned on {found[0].rows} held-out rows: {', '.join(parts)}."
