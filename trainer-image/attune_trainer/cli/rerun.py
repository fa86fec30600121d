"""`attune rerun`: from the manifest of a published model to a FineTuneJob that repeats its run.

What the run had decided by itself is written out, so that later defaults change nothing. What a FineTuneJob cannot say
is told in comments.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from attune_contract import VERSION, uris
from attune_contract.abilities import HAS_BETA
from attune_contract.enums import Method, Role
from attune_contract.spec import Workload
from attune_trainer.cli import manifests
from attune_trainer.errors import DigestMismatchError
from attune_trainer.publishing.manifest import demand_whole
from attune_trainer.storage.resolve import Stores

JSON = dict[str, Any]
_MOST_FILES = 100
"""As many URIs as spec.dataset.train takes."""
_LONGEST_NAME = 63
_WIDTH = 116


def fetch(uri: str, environment: Mapping[str, str]) -> JSON:
    """Reads a manifest, and makes sure that it is as it was written.

    Args:
        uri: of manifest.json, or of the run's folder that it is in.
        environment: keys for the store.

    Raises:
        DigestMismatchError: it is no manifest, or was changed.
        StageError: it cannot be read.
    """
    where = uri if uri.endswith(".json") else uris.join(uri, "manifest.json")
    config = manifests.from_options(manifests.Given(train=(where,)), Method.SFT).config
    content = Stores(config, environment).open(Role.OUTPUT, where).read(where)
    try:
        document = json.loads(content)
    except ValueError as error:
        raise DigestMismatchError(f"{where}: this is not JSON: {error}") from error
    return demand_whole(document, where)


def text(manifest: JSON, where: str, name: str | None) -> str:
    """The FineTuneJob as YAML, with what cannot be pinned as comments above it.

    Args:
        manifest: of the model.
        where: its URI, for the comments.
        name: of the new FineTuneJob; None: that of the run with `-rerun`.

    Raises:
        DigestMismatchError: the manifest is of a version whose fields are others.
    """
    comments = [f"Repeats the run {manifest['run']['name']} ({manifest['run']['id']}), from {where}.", *loose(manifest)]
    head = "".join(f"# {line}\n" for comment in comments for line in _wrapped(comment))
    return head + str(yaml.safe_dump(document(manifest, name), sort_keys=False, allow_unicode=True, width=_WIDTH))


def document(manifest: JSON, name: str | None) -> JSON:
    """The FineTuneJob."""
    run = manifest["run"]
    metadata = {"name": name or f"{run['name'][: _LONGEST_NAME - 6]}-rerun", "namespace": run["namespace"]}
    spec = {"runtime": manifest["runtime"]["name"], **_pinned(manifest)}
    if manifest.get("budget"):
        spec["budget"] = manifest["budget"]
    return {"apiVersion": f"attune.dev/{VERSION}", "kind": manifests.KIND, "metadata": metadata, "spec": spec}


def _pinned(manifest: JSON) -> JSON:
    """The manifest's blocks, with everything that was resolved written out."""
    try:
        work = Workload.model_validate(manifest["configuration"])
    except ValidationError as error:
        raise DigestMismatchError(f"the manifest's configuration is of another version of Attune: {error}") from error
    resolved = manifest["resolved"]
    split = work.dataset.split
    fraction = split.resolved_validation_fraction(work.training.keep_best)
    training: JSON = {"learning_rate": resolved["learningRate"]}
    if work.method in HAS_BETA:
        training["beta"] = resolved["beta"]
    pinned = work.model_copy(
        update={
            "model": work.model.model_copy(update={"source": _source(manifest, work.model.source)}),
            "dataset": work.dataset.model_copy(
                update={**_files(manifest), "split": split.model_copy(update={"validation_fraction": fraction})}
            ),
            "training": work.training.model_copy(update=training),
            "evaluation": work.evaluation.model_copy(update={"metrics": work.evaluation.resolved_metrics(work.method)}),
            "output": work.output.model_copy(update={"format": work.output.resolved_format(work.tuning.type)}),
        }
    )
    found: JSON = pinned.model_dump(mode="json", exclude_none=True)
    return found


def _source(manifest: JSON, source: str) -> str:
    """The base, at the commit that was used where there is one."""
    revision = manifest["base"].get("revision")
    parsed = uris.parse(source)
    return f"hf://{parsed.path}@{revision}" if parsed.scheme == "hf" and revision else source


def _files(manifest: JSON) -> JSON:
    """The objects that were read, in their order, in the place of prefixes and globs; as given where they are many."""
    sides = {
        side: tuple(each["uri"] for each in manifest["data"] if each["side"] == side) for side in ("train", "test")
    }
    return {side: found for side, found in sides.items() if found and len(found) <= _MOST_FILES}


def loose(manifest: JSON) -> Iterator[str]:
    """What a FineTuneJob cannot pin, one sentence each."""
    yield (
        "The same data, base, image and CPU give the same figures. What follows cannot be written into a FineTuneJob; "
        "compare it with the new run's manifest.json:"
    )
    for each in manifest["data"]:
        version = f" (version {each['versionID']})" if each.get("versionID") else ""
        yield f"- {each['uri']}{version} had {each['sha256']}."
    if len([each for each in manifest["data"] if each["side"] == "train"]) > _MOST_FILES:
        yield "- There are too many files to name each: prefixes and globs stay, and must mean the same files."
    if not manifest["base"].get("revision"):
        yield f"- The base {manifest['base']['source']} had the digest {manifest['base']['digest']}."
    image = manifest["runtime"].get("image")
    yield f"- TuningRuntime {manifest['runtime']['name']} ran the image {image or '(none: it was a laptop)'}."
    versions = ", ".join(f"{name} {version}" for name, version in sorted(manifest["versions"].items()))
    yield f"- It had {versions}."
    if manifest["resolved"].get("device") != "cpu":
        yield "- It was trained on a GPU, whose sums depend on their order: figures come close, and not out the same."
    yield "- approval, queue, retryLimit and the keys in Secrets are no part of the manifest."


def _wrapped(comment: str) -> Iterator[str]:
    """A sentence in lines that are not too long."""
    line = ""
    for word in comment.split(" "):
        if line and len(line) + len(word) >= _WIDTH:
            yield line
            line = " " * 2 * comment.startswith("- ") + word
        else:
            line = f"{line} {word}" if line else word
    yield line
