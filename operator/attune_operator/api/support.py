"""What this version does not act on yet. Refused with a clear message, never silently ignored.

Each entry goes when the feature comes. The API server admits these fields, so that manifests stay valid across
versions.
"""

from collections.abc import Callable, Iterable

from attune_contract import uris
from attune_contract.abilities import HAS_BETA, metrics_of
from attune_operator.api.finetunejob import FineTuneJobSpec
from attune_operator.api.problems import FieldProblem


def unsupported(spec: FineTuneJobSpec) -> list[FieldProblem]:
    """Every field of a spec that this version does not act on, with what to use instead; empty where it does on all."""
    return [problem for check in _CHECKS for problem in check(spec)]


def _problem(path: str, what: str, instead: str) -> FieldProblem:
    return FieldProblem(f"spec.{path}", f"this version of Attune does not act on {what} yet; {instead}.")


def _dataset(spec: FineTuneJobSpec) -> Iterable[FieldProblem]:
    forgetting = spec.evaluation.forgetting
    named = {"dataset.train": spec.dataset.train, "dataset.test": spec.dataset.test}
    named |= {"evaluation.forgetting.dataset": forgetting.dataset if forgetting else ()}
    for name, given in named.items():
        for index, uri in enumerate(given):
            if not _readable(uri):
                instead = (
                    "use files that end in .jsonl, .json, .csv, .tsv, .parquet or .txt (also .gz and .zst of these), a "
                    "prefix that ends in /, or a glob such as s3://b/p/*.jsonl"
                )
                yield _problem(f"{name}[{index}]", uri, instead)


def _readable(uri: str) -> bool:
    return uri.endswith(("/", *uris.SUPPORTED_DATA_SUFFIXES))


def _training(spec: FineTuneJobSpec) -> Iterable[FieldProblem]:
    training = spec.training
    if training.beta is not None and spec.method not in HAS_BETA:
        yield _problem("training.beta", f"beta for {spec.method}", "leave it out; it belongs to DPO, ORPO and KTO")


def _evaluation(spec: FineTuneJobSpec) -> Iterable[FieldProblem]:
    evaluation = spec.evaluation
    known = metrics_of(spec.method).known
    for index, metric in enumerate(evaluation.metrics or ()):
        if metric.name not in known:
            use = f"use {', '.join(sorted(known))}"
            yield _problem(f"evaluation.metrics[{index}].name", f"{metric.name} for {spec.method}", use)
    for index, baseline in enumerate(evaluation.baselines):
        if (baseline.source or "").startswith("pvc://"):
            instead = "use s3:// or hf://"
            yield _problem(f"evaluation.baselines[{index}].source", "another model from a volume", instead)


_CHECKS: tuple[Callable[[FineTuneJobSpec], Iterable[FieldProblem]], ...] = (
    _dataset,
    _training,
    _evaluation,
)
