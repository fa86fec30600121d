"""From a manifest, or from options, to the RunConfigs that are examined."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from pydantic import ValidationError

from attune_contract.enums import ClassificationStyle, DataFormat, DataWarning, Method, Stage
from attune_contract.runconfig import RunConfig, RunIdentity, RuntimeFacts
from attune_contract.spec import Budget, Workload
from attune_trainer.errors import InvalidConfigurationError

JSON = dict[str, Any]
KIND = "FineTuneJob"
RUNTIME = "TuningRuntime"
_NOT_FOR_PODS = ("runtime", "budget", "approval", "approved", "queue", "retryLimit", "suspend")
"""Fields of a spec that are the operator's affair; `budget` alone is looked at here."""
_NOWHERE = "file:///nonexistent"
"""In the place of a model or an output that was not named; nothing is ever read or written there."""
_METHOD_OF = {
    DataFormat.CHAT: Method.SFT,
    DataFormat.PROMPT_COMPLETION: Method.SFT,
    DataFormat.PREFERENCE: Method.DPO,
    DataFormat.RATED: Method.KTO,
    DataFormat.TEXT: Method.CONTINUED_PRETRAINING,
    DataFormat.LABELED: Method.CLASSIFICATION,
}


@dataclass(frozen=True)
class Job:
    """One thing to examine.

    Args:
        name: of the FineTuneJob, or of the data.
        config: what a pod would be started with.
        has_model: whether a model was named.
        estimates: whether training is described, so that it can be estimated.
    """

    name: str
    config: RunConfig
    has_model: bool = True
    estimates: bool = True


@dataclass(frozen=True)
class Given:
    """Data that is named by options instead of by a manifest; names are those of the manifest's fields."""

    train: tuple[str, ...]
    test: tuple[str, ...] = ()
    format: DataFormat = DataFormat.AUTO
    method: Method | None = None
    model: str | None = None
    sequence_length: int = 2048
    columns: Mapping[str, str] = field(default_factory=dict)
    desirable_from: float | None = None
    strict: tuple[DataWarning, ...] = ()
    style: ClassificationStyle = ClassificationStyle.TOKEN


def read(path: Path, model: str | None) -> list[Job]:
    """The FineTuneJobs of a file; a TuningRuntime in it gives prices and sizes, other documents are passed over.

    Args:
        path: YAML (or JSON), with one or several documents. Paths in it are relative to its folder.
        model: takes the place of spec.model.source.

    Raises:
        InvalidConfigurationError: it cannot be read, or holds no FineTuneJob, or one that is not right: says all of it.
    """
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InvalidConfigurationError(f"{path}: the manifest cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidConfigurationError(f"{path}: the manifest is not YAML: {' '.join(str(error).split())}") from error
    jobs = [d for d in documents if isinstance(d, dict) and d.get("kind") == KIND]
    if not jobs:
        kinds = ", ".join(sorted({str(d.get("kind")) for d in documents if isinstance(d, dict)})) or "nothing"
        raise InvalidConfigurationError(f"{path}: there is no {KIND} in the file (found: {kinds}).")
    runtimes = {facts.name: facts for d in documents if isinstance(d, dict) and (facts := _runtime(d, path))}
    return [_job(document, path, model, runtimes) for document in jobs]


def from_options(given: Given, method: Method) -> Job:
    """A job around data alone: everything that is not about data has its default.

    Raises:
        InvalidConfigurationError: an option is not right.
    """
    folder = Path.cwd()
    dataset: JSON = {
        "train": [located(uri, folder) for uri in given.train],
        "test": [located(uri, folder) for uri in given.test],
        "format": given.format.value,
        "columns": dict(given.columns),
        "strict": [warning.value for warning in given.strict],
    }
    if given.desirable_from is not None:
        dataset["rating"] = {"desirableFrom": given.desirable_from}
    spec = {
        "model": {"source": located(given.model, folder) if given.model else _NOWHERE},
        "method": method.value,
        "dataset": dataset,
        "training": {"epochs": 1, "sequenceLength": given.sequence_length},
        "output": {"uri": _NOWHERE},
    }
    if method is Method.CLASSIFICATION:
        spec["classification"] = {"style": given.style.value}
    name = ", ".join(given.train)
    return Job(name, _config(name, spec, "options"), has_model=given.model is not None, estimates=False)


def methods_for(given: Given) -> Sequence[Method]:
    """The method that was named, or that the format is for; or all, in the order in which they are tried."""
    if given.method:
        return (given.method,)
    if given.format is not DataFormat.AUTO:
        return (_METHOD_OF[given.format],)
    return (Method.DPO, Method.KTO, Method.SFT, Method.CLASSIFICATION, Method.CONTINUED_PRETRAINING)


def located(uri: str, folder: Path) -> str:
    """A URI as it is; a path as file://, with a slash at the end where it is a folder. Globs stay globs."""
    if re.match(r"[a-z][a-z0-9+.-]*://", uri):
        return uri
    path = folder / Path(uri).expanduser()
    whole = str(path.absolute()) if any(c in uri for c in "*?[") else str(path.resolve())
    return "file://" + quote(whole, safe="/*?[]!") + ("/" if path.is_dir() else "")


def _runtime(document: JSON, path: Path) -> RuntimeFacts | None:
    """What an estimate needs of a TuningRuntime; None for a document of another kind."""
    if document.get("kind") != RUNTIME:
        return None
    spec = _mapping(document.get("spec"))
    accelerator, price = _mapping(spec.get("accelerator")), _mapping(spec.get("price"))
    given = {
        "name": str(_mapping(document.get("metadata")).get("name", "")),
        "trustRemoteCode": spec.get("trustRemoteCode"),
        "acceleratorMemory": accelerator.get("memory"),
        "acceleratorTflops": accelerator.get("tflops"),
        "pricePerGPUHour": price.get("perGPUHour"),
        "pricePerCPUHour": price.get("perCPUHour"),
        "currency": price.get("currency"),
    }
    try:
        return RuntimeFacts.model_validate({key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        raise InvalidConfigurationError("; ".join(_sentences(error, f"{path}: {RUNTIME}", ""))) from error


def _mapping(value: Any) -> JSON:
    return value if isinstance(value, dict) else {}


def _job(document: JSON, path: Path, model: str | None, runtimes: Mapping[str, RuntimeFacts]) -> Job:
    metadata, spec = document.get("metadata"), document.get("spec")
    name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
    if not isinstance(spec, dict):
        raise InvalidConfigurationError(f"{path}: {KIND} {name}: spec must be a mapping.")
    config = _config(name, _resolved(spec, path.parent, model), str(path))
    facts = runtimes.get(config.runtime.name, config.runtime)
    return Job(name or str(path), config.model_copy(update={"runtime": facts}))


def _resolved(spec: JSON, folder: Path, model: str | None) -> JSON:
    """The spec with paths as URIs, as far as it is shaped like one; what is not is for the model to say."""
    made = dict(spec)
    dataset, given = made.get("dataset"), made.get("model")
    if isinstance(dataset, dict):
        made["dataset"] = dataset | {
            side: [located(u, folder) if isinstance(u, str) else u for u in dataset[side]]
            for side in ("train", "test")
            if isinstance(dataset.get(side), list)
        }
    if model is not None:
        given = {**(given if isinstance(given, dict) else {}), "source": located(model, Path.cwd())}
    elif isinstance(given, dict) and isinstance(given.get("source"), str):
        given = given | {"source": located(given["source"], folder)}
    if isinstance(given, dict):
        source = given.get("source")
        made["model"] = given | ({"source": source.rstrip("/")} if isinstance(source, str) else {})
    return made


def _config(name: str, spec: JSON, where: str) -> RunConfig:
    work = {key: value for key, value in spec.items() if key not in _NOT_FOR_PODS}
    try:
        return RunConfig(
            run=RunIdentity(id="local", name=name or "local", namespace="local", stage=Stage.PREFLIGHT, attempt=1),
            workload=Workload.model_validate(work),
            runtime=RuntimeFacts(name=str(spec.get("runtime", "local"))),
            budget=Budget.model_validate(spec["budget"]) if spec.get("budget") else None,
            local=True,
        )
    except ValidationError as error:
        raise InvalidConfigurationError("; ".join(_sentences(error, where, name))) from error


def _sentences(error: ValidationError, where: str, name: str) -> Iterable[str]:
    whose = f"{where}: {KIND} {name}: " if name and where != "options" else f"{where}: "
    block = "spec.budget" if error.title == "Budget" else "spec"
    for problem in error.errors():
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
        unknown = problem["type"] == "extra_forbidden"
        yield f"{whose}{block}{path}: {'there is no such field; look at its spelling' if unknown else problem['msg']}"
