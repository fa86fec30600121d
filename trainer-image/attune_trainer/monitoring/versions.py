"""Published versions: verified by the digest that the operator recorded, fetched, and asked about rows."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from attune_contract import layout, uris
from attune_contract.enums import MetricName, OutputFormat, Role, Stage, TuningType
from attune_contract.monitoring import Published
from attune_contract.outcome import Artifact
from attune_contract.spec import Resources, Workload
from attune_trainer import digests, models
from attune_trainer.artifacts import RunFiles
from attune_trainer.context import Context
from attune_trainer.data import canonical
from attune_trainer.data.examples import digest
from attune_trainer.distributed import Process
from attune_trainer.errors import DigestMismatchError, ObjectNotFoundError
from attune_trainer.evaluation import comparison, setting
from attune_trainer.evaluation.kept import Kept
from attune_trainer.evaluation.kinds.base import Given
from attune_trainer.evaluation.kinds.select import kind_for
from attune_trainer.evaluation.pace import Pace
from attune_trainer.evaluation.siblings import Siblings
from attune_trainer.evaluation.sides import TUNED, Models, Side
from attune_trainer.evaluation.significance.figures import Shape, shape_of
from attune_trainer.evaluation.textmetrics.base import Floats
from attune_trainer.methods import device, loading
from attune_trainer.methods.architecture import Architecture
from attune_trainer.monitoring.fresh import sample
from attune_trainer.publishing import manifest
from attune_trainer.versions import packages


@dataclass(frozen=True)
class Version:
    """One published version, its manifest read and verified."""

    published: Published
    manifest: Mapping[str, Any]
    work: Workload
    files: RunFiles
    """Of the run that published it."""

    def find(self, path: str) -> Artifact | None:
        """What its run left at a path, as its manifest has it; None where it left nothing there."""
        given = [Artifact.model_validate(each) for each in self.manifest["artifacts"]]
        return next((artifact for artifact in given if artifact.path == path), None)

    def artifact(self, path: str) -> Artifact:
        """The same of what every run leaves.

        Raises:
            DigestMismatchError: it is not there.
        """
        found = self.find(path)
        if found is None:
            raise DigestMismatchError(f"{self.files.uri(layout.MANIFEST)}: it names no {path}, which every run leaves.")
        return found

    @property
    def metrics(self) -> tuple[MetricName, ...]:
        """Those of its evaluation that a model alone has."""
        asked = self.work.evaluation.resolved_metrics(self.work.method)
        return tuple(m.name for m in asked if m.name is not MetricName.HUMAN_PREFERENCE)


@dataclass(frozen=True)
class Measured:
    """A model's figures by metric, rows x width, and how values come from them."""

    figures: Mapping[str, Floats]
    shapes: Mapping[MetricName, Shape]

    @property
    def rows(self) -> int:
        """How many rows it was asked."""
        return len(next(iter(self.figures.values()), ()))

    def value(self, name: MetricName) -> float:
        """The metric over all rows."""
        return float(self.shapes[name].value(self.figures[name].sum(axis=0)))


def read(context: Context, published: Published) -> Version:
    """The manifest of a published version, verified.

    Raises:
        DigestMismatchError: it is gone, or not the one that was published.
    """
    files = RunFiles(context.stores.open(Role.OUTPUT, published.run_uri), published.run_uri, Stage.PUBLISH)
    where = uris.join(published.run_uri, layout.MANIFEST)
    try:
        text = files.store.read(where)
    except ObjectNotFoundError as error:
        raise DigestMismatchError(
            f"{where}: it is gone, and {published.version} is the {published.variant}; promote one that is there."
        ) from error
    if digests.of_bytes(text) != published.digest:
        raise DigestMismatchError(
            f"{where}: its digest is {digests.of_bytes(text)}, and {published.version} was published as "
            f"{published.digest}: it was changed since. Promote another version."
        )
    document = manifest.demand_whole(json.loads(text), where)
    return Version(published, document, Workload.model_validate(document["configuration"]), files)


@dataclass(frozen=True)
class Loaded:
    """A version that can be asked.

    Args:
        context: of the stage.
        version: which.
        base: the model that has tokenizer and configuration: the base of an adapter, else the published model itself.
        weights: loads the model.
        train: parquet of the rows that it was trained on.
        source: the published model, where it is a whole one made with adapters; None where `weights` knows it.
    """

    context: Context
    version: Version
    base: models.BaseModel
    weights: Models
    train: Path
    source: models.BaseModel | None

    def measure(self, examples: Sequence[Any], name: str) -> Measured:
        """Its figures on some rows; those of an earlier look at the same rows are taken from it.

        Args:
            examples: the rows.
            name: what they are, for the name of what is kept.
        """
        folder = self.context.scratch / f"{self.version.published.variant}-{name}"
        folder.mkdir()
        rows = folder / "rows.parquet"
        with canonical.Writer(rows, canonical.kind_of(self.version.work.method)) as writer:
            for example in examples:
                writer.write(example)
        given = self._given(rows)
        kind = kind_for(given)
        side = Side(TUNED, kind, self.source)
        run, run_id = self.context.run, self.context.config.run.id
        nobody = Siblings(run.store, run.root, run_id)  # no side is shared, so it is not asked
        kept = Kept(lambda: self.context.run, run_id, folder, {TUNED: self._key(rows, given)}, nobody)
        found = comparison.score([side], self.weights, kept, Pace(self.context.board, len(examples)))[TUNED]
        return Measured(found.figures, {n: shape_of(metric) for n, metric in kind.metrics().items()})

    def held_out(self, most: int, seed: int) -> list[Any]:
        """The rows that it was evaluated on before it was published, or some of them by lot."""
        path = self._fetch(layout.TEST_DATA)
        chosen = sample(list(range(canonical.count(path))), most, seed)
        kind = canonical.kind_of(self.version.work.method)
        return [row for index, row in enumerate(canonical.read(path, kind)) if index in chosen]

    def drawn_from(self) -> tuple[Path, ...]:
        """Parquet files of all rows of its training data: those learnt, and those that its run kept apart from them.

        A split keeps each prompt on one side, so either side alone has popular prompts too often or not at all.
        """
        own_test = () if self.version.work.dataset.test else (self._fetch(layout.TEST_DATA),)
        return (*self._learnt_from(), *own_test)

    def learnt(self, wanted: Collection[str]) -> set[str]:
        """Of some rows, by `examples.digest`, those that it has learnt, or that its weights were chosen by."""
        kind = canonical.kind_of(self.version.work.method)
        return {
            key for path in self._learnt_from() for row in canonical.read(path, kind) if (key := digest(row)) in wanted
        }

    def _learnt_from(self) -> tuple[Path, ...]:
        kept_apart = self.version.find(layout.VALIDATION_DATA) is not None
        return (self.train, self._fetch(layout.VALIDATION_DATA)) if kept_apart else (self.train,)

    def _fetch(self, path: str) -> Path:
        target = self.context.scratch / f"{self.version.published.variant}-{Path(path).name}"
        return target if target.exists() else self.version.files.fetch(self.version.artifact(path), target)

    def _given(self, rows: Path) -> Given:
        given = setting.given_of(self.version.work, self.base, self.weights.place, self.train, rows)
        return replace(given, metrics=tuple(m for m in given.metrics if m.name is not MetricName.HUMAN_PREFERENCE))

    def _key(self, rows: Path, given: Given) -> dict[str, Any]:
        """All that figures follow from."""
        return {
            "version": self.version.published.digest,
            "rows": digests.of_file(rows),
            "metrics": [metric.model_dump(mode="json") for metric in given.metrics],
            "precision": self.weights.place.bf16,
            "code": comparison.code_digest(),
            "packages": packages(),
        }


def load(context: Context, version: Version) -> Loaded:
    """Fetches a version's model, verified, and its base where it is an adapter.

    Raises:
        DigestMismatchError: the model or its base is not what it was.
    """
    work, name = version.work, version.published.variant.value
    described = version.manifest["model"]
    artifact = Artifact(
        path=f"{layout.MODEL}/", digest=described["digest"], size_bytes=described["sizeBytes"], stage=Stage.PUBLISH
    )
    folder = version.files.fetch(artifact, context.scratch / f"{name}-model")
    train = version.files.fetch(version.artifact(layout.TRAIN_DATA), context.scratch / f"{name}-train.parquet")
    place = device.choose(_one_gpu(context.config.workload.resources), Process())
    is_adapter = work.output.resolved_format(work.tuning.type) is OutputFormat.ADAPTER
    listing = models.Listing(version.published.run_uri, {"": described["digest"]})
    itself = models.BaseModel(listing, folder, context.config.runtime.trust_remote_code)
    base = _base(context, version) if is_adapter else itself
    labels = tuple(version.manifest["labels"] or ())
    padding = loading.padding_id(base.tokenizer())
    architecture = Architecture(work, labels, padding, base.trust_remote_code)
    made = Models(work, architecture, base, folder, place)
    whole = None if is_adapter or work.tuning.type is TuningType.FULL else itself
    return Loaded(context, version, base, made, train, whole)


def _base(context: Context, version: Version) -> models.BaseModel:
    """The base of an adapter, as it was when the adapter was trained."""
    config = context.config.model_copy(update={"workload": version.work})
    source = models.ModelSource(config, context.stores)
    seen = version.manifest["base"]
    listing = source.look(seen["revision"])
    if listing.digest != seen["digest"]:
        raise DigestMismatchError(
            f"{models.FIELD}: {source.uri} is not the model that {version.published.version} was trained on: it was "
            "changed since. Put it back, or retrain on the model as it is now."
        )
    return source.fetch(listing, weights=True)


def _one_gpu(resources: Resources) -> Resources:
    return resources.model_copy(update={"nodes": 1, "gpus_per_node": min(1, resources.gpus_per_node)})
