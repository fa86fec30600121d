"""Publish: from the checkpoint to a model that others can load, with its lineage. The manifest comes last."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attune_contract import layout
from attune_contract.enums import OutputFormat, TuningType, Verdict
from attune_contract.outcome import Artifact, Outcome
from attune_trainer import checkpoints, digests, inputs, models, results, support
from attune_trainer.context import Context
from attune_trainer.data.encoding.select import encoder_for
from attune_trainer.errors import GateNotMetError
from attune_trainer.evaluation.forward import Forward
from attune_trainer.evaluation.kinds.base import Given
from attune_trainer.methods import loading
from attune_trainer.methods.architecture import Architecture
from attune_trainer.methods.causal import LABELS_FILE
from attune_trainer.publishing import card, manifest, proof, serving

_REPORTS = {
    "validation": layout.VALIDATION_REPORT,
    "training": layout.TRAINING_REPORT,
    "evaluation": layout.EVALUATION_REPORT,
}


def run(context: Context) -> Outcome:
    """Writes model/, proves that it loads, and writes the manifest.

    Raises:
        DigestMismatchError: an input is not what an earlier stage left, or the published model does not come back.
        GateNotMetError: the evaluation says that the model is not good enough.
        NotReproducedError: the published model does not say what the evaluation recorded.
    """
    support.demand(context.config)
    given = results.inputs_of(context.config, context.stage, context.run)
    key = results.key(context.config, context.stage, given)
    done = results.find(context.run, key, context.config.run.attempt)
    if done:
        context.log.info("this stage is complete already; its result is reported again")
        return done
    base = inputs.base_model(context, given)
    checkpoint = context.scratch / "checkpoint"
    description = checkpoints.read(context.run, given, checkpoint)
    reports = _reports(context, given)
    _demand_passed(reports["evaluation"])
    folder = context.scratch / "model"
    labels = _labels(checkpoint)
    padding = loading.padding_id(base.tokenizer())
    architecture = Architecture(context.config.workload, labels, padding, base.trust_remote_code)
    _assemble(context, base, architecture, checkpoint, folder)
    (folder / card.FILE).write_text(card.render(context.config, labels, reports), encoding="utf-8")
    serving.write(context.config, labels, base.config(), folder)
    model = context.run.put_folder(f"{layout.MODEL}/", folder)
    proven = _prove(context, _Subject(base, architecture, given, model), reports["evaluation"])
    files = digests.of_files(folder, digests.files_below(folder))
    moment = context.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    lineage = manifest.Lineage(reports, given, model, files, description, labels, moment, proven.document())
    written = context.run.put_json(layout.MANIFEST, manifest.build(context.config, lineage))
    outcome = context.outcome(f"{context.run.uri(layout.MODEL)} is published, {proven.in_words()}.").model_copy(
        update={
            "artifacts": (model, written),
            "model_uri": context.run.uri(layout.MODEL) + "/",
            "manifest_uri": context.run.uri(layout.MANIFEST),
            "digest": written.digest,
        }
    )
    results.save(context.run, key, outcome)
    return outcome


def _reports(context: Context, given: tuple[Artifact, ...]) -> dict[str, Any]:
    """What earlier stages reported, verified."""
    found = {}
    for name, path in _REPORTS.items():
        file = context.run.fetch(inputs.demand(given, path), context.scratch / f"{name}.json")
        found[name] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _demand_passed(evaluation: dict[str, Any]) -> None:
    """A model whose gate did not pass keeps its run's files, and is not published."""
    if evaluation["verdict"] != Verdict.PASSED:
        raise GateNotMetError(
            f"The verdict of the evaluation is {evaluation['verdict']}, so the model is not published: "
            f"{evaluation['sentence']} The checkpoint and the reports stay."
        )


def _labels(checkpoint: Path) -> tuple[str, ...]:
    """The labels that training left with the weights, in the order of their numbers; none where there are none."""
    file = checkpoint / LABELS_FILE
    return tuple(entry["label"] for entry in json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else ()


def _assemble(
    context: Context, base: models.BaseModel, architecture: Architecture, checkpoint: Path, folder: Path
) -> None:
    """Fills a local folder with weights, tokenizer and label map."""
    work = context.config.workload
    form = work.output.resolved_format(work.tuning.type)
    extra = [LABELS_FILE] if architecture.labels else []
    folder.mkdir()
    if work.tuning.type is TuningType.FULL:
        _take(checkpoint, folder, [n for n in digests.files_below(checkpoint) if n != checkpoints.DESCRIPTION])
    elif form is OutputFormat.ADAPTER:
        _take(checkpoint, folder, [*loading.ADAPTER_FILES, *extra])
    else:
        _merge(base, architecture, checkpoint, folder)
        _take(checkpoint, folder, extra)
        if form is OutputFormat.BOTH:
            _take(checkpoint, folder / "adapter", list(loading.ADAPTER_FILES))
    loading.copy_tokenizer(base, folder)


def _take(source: Path, target: Path, names: list[str]) -> None:
    target.mkdir(exist_ok=True)
    for name in names:
        (target / name).write_bytes((source / name).read_bytes())


def _merge(base: models.BaseModel, architecture: Architecture, checkpoint: Path, folder: Path) -> None:
    """The base with the adapter folded in. Added up in float32, then stored as the base is."""
    import torch

    model = architecture.load(base.folder, torch.float32)
    merged = loading.with_adapter(model, checkpoint).merge_and_unload()
    loading.save_whole(merged, folder, loading.base_dtype(base))


@dataclass(frozen=True)
class _Subject:
    """What is proven.

    Args:
        base: the base model, fetched.
        architecture: as what models are loaded.
        given: what earlier stages left.
        model: the published folder.
    """

    base: models.BaseModel
    architecture: Architecture
    given: tuple[Artifact, ...]
    model: Artifact

    def loaders(self, folder: Path) -> Iterator[Callable[[], Any]]:
        """Everything in the published folder that can be loaded: a whole model, an adapter, or both."""
        import torch

        load, base = self.architecture.load, self.base.folder
        whole = (folder / "config.json").is_file()
        adapter = folder / "adapter" if whole else folder
        if whole:
            yield lambda: load(folder, torch.float32).eval()
        if self.architecture.work.tuning.type is not TuningType.FULL and adapter.is_dir():
            yield lambda: loading.with_adapter(load(base, torch.float32), adapter).eval()


def _prove(context: Context, subject: _Subject, evaluation: dict[str, Any]) -> proof.Proof:
    """Fetches the published model as anybody would, and has it say again what the evaluation recorded.

    Raises:
        DigestMismatchError: what comes back is not what was written.
        NotReproducedError: it says something else.
    """
    folder = context.run.fetch(subject.model, context.scratch / "published")
    rows = _rows(context, subject, folder)
    lines = context.run.fetch(inputs.demand(subject.given, layout.PREDICTIONS), context.scratch / "predictions.jsonl")
    recorded = proof.Recorded(lines, evaluation["precision"])
    allowed = proof.tolerance(context.config.workload, recorded.precision, loading.base_dtype(subject.base))
    uri = context.run.uri(subject.model.path)
    found = [proof.prove(load(), rows, recorded, allowed, uri) for load in subject.loaders(folder)]
    return max(found, key=lambda each: each.largest)


def _rows(context: Context, subject: _Subject, folder: Path) -> Given:
    """The held-out rows as the evaluation asked them, with the published tokenizer."""
    work, base, architecture = context.config.workload, subject.base, subject.architecture
    tokenizer = models.BaseModel(base.listing, folder, base.trust_remote_code).tokenizer()
    length = base.sequence_length(work.training.sequence_length)
    return Given(
        work=work,
        encoder=encoder_for(work, tokenizer, length, architecture.labels),
        labels=architecture.labels,
        train=context.run.fetch(inputs.demand(subject.given, layout.TRAIN_DATA), context.scratch / "train.parquet"),
        test=context.run.fetch(inputs.demand(subject.given, layout.TEST_DATA), context.scratch / "test.parquet"),
        metrics=work.evaluation.resolved_metrics(work.method),
        forward=Forward(
            device="cpu",
            padding=architecture.padding,
            vocabulary=max(int(base.config().get("vocab_size", 0)), len(tokenizer)),
        ),
    )
