"""Evaluate: the tuned model against its base, on the same held-out rows, tokens and batches."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attune_contract import layout
from attune_contract.enums import MetricName, TuningType
from attune_contract.outcome import Artifact, MetricResult, Outcome
from attune_contract.spec import Resources
from attune_trainer import checkpoints, inputs, models, results, support, versions
from attune_trainer.context import Context
from attune_trainer.data import canonical
from attune_trainer.data.encoding import Encoder
from attune_trainer.distributed import Process
from attune_trainer.evaluation.metrics import DEFINITIONS, Tally, compare, is_right
from attune_trainer.evaluation.rows import HeldOut, Row, prepare
from attune_trainer.evaluation.scoring import Score, Scorer
from attune_trainer.methods import device, loading


@dataclass(frozen=True)
class Setup:
    """What both models are scored with."""

    base: models.BaseModel
    checkpoint: Path
    step: int
    held_out: HeldOut
    metrics: tuple[MetricName, ...]
    scorer: Scorer
    place: device.Device


def run(context: Context) -> Outcome:
    """Scores base and tuned, and leaves the evaluation's report and every prediction.

    Raises:
        DigestMismatchError: data, model or checkpoint is not what earlier stages left.
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
    tallies = _score(setup, context.config.workload.tuning.type, context.scratch, predictions)
    found = tuple(compare(metric, *tallies) for metric in setup.metrics)
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
    work = context.config.workload
    place = device.choose(_one_gpu(context), Process())
    base = inputs.base_model(context, given)
    checkpoint = context.scratch / "checkpoint"
    description = checkpoints.read(context.run, given, checkpoint)
    train = context.run.fetch(inputs.demand(given, layout.TRAIN_DATA), context.scratch / "train.parquet")
    test = context.run.fetch(inputs.demand(given, layout.TEST_DATA), context.scratch / "test.parquet")
    tokenizer = base.tokenizer()
    encoder = Encoder(tokenizer, base.sequence_length(work.training.sequence_length))
    metrics = tuple(dict.fromkeys(metric.name for metric in work.evaluation.metrics))
    held_out = prepare(list(canonical.read(test)), canonical.read(train), encoder, metrics)
    scorer = Scorer(
        held_out=held_out,
        tokenizer=tokenizer,
        metrics=frozenset(metrics),
        sequence_length=encoder.sequence_length,
        padding=loading.padding_id(tokenizer),
        device=place.name,
        vocabulary=max(int(base.config().get("vocab_size", 0)), len(tokenizer)),
        on_rows=_counting(context, 2 * len(held_out.rows)),
    )
    return Setup(base, checkpoint, int(description["step"]), held_out, metrics, scorer, place)


def _one_gpu(context: Context) -> Resources:
    """The resources of the one pod that evaluates: its first GPU is enough."""
    resources = context.config.workload.resources
    return resources.model_copy(update={"gpus_per_node": min(1, resources.gpus_per_node)})


def _score(setup: Setup, tuning: TuningType, scratch: Path, predictions: Path) -> tuple[Tally, Tally]:
    """Tallies of tuned and base. Base first; its scores wait on disk for the tuned ones of the same row."""
    rows = setup.held_out.rows
    tuned, base = Tally(rows, setup.metrics), Tally(rows, setup.metrics)
    waiting = scratch / "base.jsonl"
    with _models(setup, tuning) as (as_base, as_tuned):
        with waiting.open("w", encoding="utf-8") as file:
            for score in as_base():
                base.add(score)
                file.write(json.dumps(score) + "\n")
        with waiting.open(encoding="utf-8") as theirs, predictions.open("w", encoding="utf-8") as file:
            for score, line in zip(as_tuned(), theirs, strict=True):
                tuned.add(score)
                document = _prediction(setup, rows[score.row], Score(*json.loads(line)), score)
                file.write(json.dumps(document, ensure_ascii=False) + "\n")
    return tuned, base


@contextmanager
def _models(setup: Setup, tuning: TuningType) -> Iterator[Any]:
    """Two functions that score base and tuned. With an adapter both are one loaded model; else one after the other."""

    def load(folder: Path) -> Any:
        model = loading.causal_lm(folder, setup.place.dtype, trust_remote_code=setup.base.trust_remote_code)
        loading.plain_generation(model, setup.scorer.tokenizer, setup.held_out.stop_tokens)
        return model

    def scores(model: Any) -> Iterator[Score]:
        for batch in setup.scorer.score(model.to(setup.place.name)):
            yield from batch

    if tuning is TuningType.FULL:
        yield lambda: scores(load(setup.base.folder)), lambda: scores(load(setup.checkpoint))
        return
    model = loading.with_adapter(load(setup.base.folder), setup.checkpoint)

    def without_adapter() -> Iterator[Score]:
        with model.disable_adapter():
            yield from scores(model)

    yield without_adapter, lambda: scores(model)


def _prediction(setup: Setup, row: Row, base: Score, tuned: Score) -> dict[str, Any]:
    return {
        "rowID": row.row_id,
        "promptDigest": row.prompt_digest,
        "expected": row.expected,
        "base": _said(setup, row, base),
        "tuned": _said(setup, row, tuned),
    }


def _said(setup: Setup, row: Row, score: Score) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if MetricName.PERPLEXITY in setup.metrics:
        said |= {"nll": score.nll, "tokens": score.tokens}
    if setup.held_out.labels and score.label is not None:
        said["label"] = setup.held_out.labels[score.label]
    if score.text is not None:
        said["text"] = score.text
    right = {m.value: is_right(m, row, score) for m in setup.metrics if m is not MetricName.PERPLEXITY}
    return said | {"right": right}


def _counting(context: Context, total: int) -> Any:
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
    labels = setup.held_out.labels
    return {
        "run": context.config.run.id,
        "step": setup.step,
        "rows": len(setup.held_out.rows),
        "results": [
            {**r.model_dump(mode="json", exclude_none=True), "definition": DEFINITIONS[r.metric]} for r in found
        ],
        "interval": "95 %, Newcombe 1998 method 10; p-value: exact McNemar, two-sided",
        "labels": list(labels) or None,
        "labelScoring": _scoring_in_words(setup.held_out) if labels else None,
        "maxNewTokens": setup.held_out.max_new_tokens,
        "precision": "bfloat16" if setup.place.bf16 else "float32",
        "seconds": round(seconds, 3),
        "predictions": context.run.uri(layout.PREDICTIONS),
        "versions": versions.packages(),
    }


def _scoring_in_words(held_out: HeldOut) -> str:
    return "one token per label, one forward pass" if held_out.label_tokens else "summed log-likelihood per label"


def in_words(found: tuple[MetricResult, ...]) -> str:
    """The results in one sentence."""
    parts = [f"{r.metric.value} {r.value:.4g} → {r.tuned:.4g}" for r in found]
    return f"Base → tuned on {found[0].rows} held-out rows: {', '.join(parts)}."
