"""Publish: from the checkpoint to a model that others can load, with its lineage. The manifest comes last."""

import json
from pathlib import Path
from typing import Any

from attune_contract import layout
from attune_contract.enums import OutputFormat, TuningType
from attune_contract.outcome import Artifact, Outcome
from attune_trainer import checkpoints, digests, inputs, models, results, support
from attune_trainer.context import Context
from attune_trainer.data import canonical
from attune_trainer.data.encoding.select import encoder_for
from attune_trainer.errors import DigestMismatchError
from attune_trainer.methods import loading
from attune_trainer.methods.architecture import Architecture
from attune_trainer.methods.causal import LABELS_FILE
from attune_trainer.publishing import card, manifest

_REPORTS = {
    "validation": layout.VALIDATION_REPORT,
    "training": layout.TRAINING_REPORT,
    "evaluation": layout.EVALUATION_REPORT,
}


def run(context: Context) -> Outcome:
    """Writes model/, proves that it loads, and writes the manifest.

    Raises:
        DigestMismatchError: an input is not what an earlier stage left, or the published model does not come back.
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
    folder = context.scratch / "model"
    labels = _labels(checkpoint)
    padding = loading.padding_id(base.tokenizer())
    architecture = Architecture(context.config.workload, labels, padding, base.trust_remote_code)
    _assemble(context, base, architecture, checkpoint, folder)
    (folder / card.FILE).write_text(card.render(context.config, labels, reports), encoding="utf-8")
    model = context.run.put_folder(f"{layout.MODEL}/", folder)
    _prove(context, base, architecture, given, model)
    files = digests.of_files(folder, digests.files_below(folder))
    moment = context.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    lineage = manifest.Lineage(reports, given, model, files, description, labels, moment)
    written = context.run.put_json(layout.MANIFEST, manifest.build(context.config, lineage))
    outcome = context.outcome(f"{context.run.uri(layout.MODEL)} is published and loads.").model_copy(
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


def _prove(
    context: Context,
    base: models.BaseModel,
    architecture: Architecture,
    given: tuple[Artifact, ...],
    model: Artifact,
) -> None:
    """Fetches the published model as anybody would, loads it, and has it read one held-out row.

    Raises:
        DigestMismatchError: what comes back is not what was written, or gives no numbers.
        TemplateError: the published tokenizer does not take the row.
    """
    import torch

    work = context.config.workload
    folder = context.run.fetch(model, context.scratch / "published")
    if (folder / "config.json").is_file():
        loaded = architecture.load(folder, torch.float32)
    else:
        loaded = loading.with_adapter(architecture.load(base.folder, torch.float32), folder)
    tokenizer = models.BaseModel(base.listing, folder, base.trust_remote_code).tokenizer()
    test = context.run.fetch(inputs.demand(given, layout.TEST_DATA), context.scratch / "test.parquet")
    row = next(canonical.read(test, canonical.kind_of(work.method)))
    length = base.sequence_length(work.training.sequence_length)
    encoder_for(work, tokenizer, length, architecture.labels).lengths([row])  # the chat template came along
    ids = tokenizer(row.prompt_text() or row.answer_text())["input_ids"][:length]
    with torch.inference_mode():
        logits = loaded.eval()(input_ids=torch.tensor([ids])).logits
    if not bool(torch.isfinite(logits).all()):
        raise DigestMismatchError(f"{context.run.uri(model.path)}: the published model loads, but gives no numbers.")
