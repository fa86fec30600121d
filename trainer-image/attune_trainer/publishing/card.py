"""The model card: a README.md that tells a finder what this is, how good it is, and how to load and use it."""

import json
from typing import Any

from attune_contract import uris
from attune_contract.enums import ClassificationStyle, Method, MetricName, OutputFormat
from attune_contract.runconfig import RunConfig
from attune_contract.spec import Workload
from attune_trainer.publishing import usage

FILE = "README.md"
_LOWER_IS_BETTER = frozenset({MetricName.PERPLEXITY, MetricName.LABEL_LOG_LOSS})
_LEARNT = {
    Method.SFT: "supervised fine-tuning: it was shown prompts and the answers to give",
    Method.CONTINUED_PRETRAINING: "continued pretraining: it read documents, word after word",
    Method.DPO: "direct preference optimisation: of two answers to a prompt it was shown the better one",
    Method.ORPO: "odds-ratio preference optimisation: of two answers to a prompt it was shown the better one",
    Method.KTO: "Kahneman-Tversky optimisation: it was shown answers, and which of them are wanted",
    Method.CLASSIFICATION: "classification: it was shown texts and the label of each",
}


def render(config: RunConfig, labels: tuple[str, ...], reports: dict[str, Any]) -> str:
    """The card as Markdown, with the metadata that model hubs read.

    Args:
        config: the run.
        labels: of Classification, in the order of their numbers.
        reports: the training and the evaluation report, by name.
    """
    work, evaluation = config.workload, reports["evaluation"]
    whole = [result for result in evaluation["results"] if result.get("slice") is None]
    lines = [
        *_metadata(config, evaluation),
        f"# {config.run.name}",
        "",
        _origin(config),
        "",
        *_labels(work, labels),
        "## Results on held-out rows",
        "",
        f"Verdict of the run's gate: {evaluation['verdict']}. {evaluation['sentence']}",
        "",
        *(f"> {notice}\n" for notice in evaluation["notices"]),
        f"| metric | over | its figure | tuned | difference ({evaluation['confidence']:.4g} interval) | rows |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_result(result) for result in whole),
        "",
        *_definitions(evaluation, whole),
        *_slices(evaluation),
        *_forgetting(evaluation),
        "## Training",
        "",
        _effort(reports["training"]["figures"]),
        "",
        "## Use",
        "",
        "```python",
        usage.code(work, labels),
        "```",
        "",
    ]
    return "\n".join(lines)


def _metadata(config: RunConfig, evaluation: dict[str, Any]) -> list[str]:
    """What model hubs read: library, task, base and results. Values are JSON, which YAML has in it."""
    work = config.workload
    adapter = work.output.resolved_format(work.tuning.type) is OutputFormat.ADAPTER
    source = uris.parse(work.model.source)
    lines = [
        "---",
        f"library_name: {'peft' if adapter else 'transformers'}",
        f"pipeline_tag: {_task(work)}",
    ]
    if source.scheme == "hf":  # hubs look the name up; what lies in a store is named in the text
        lines += [f"base_model: {source.path}", f"base_model_relation: {'adapter' if adapter else 'finetune'}"]
    lines.append(f"tags: [attune, {work.method.value.lower()}, {work.tuning.type.value.lower()}]")
    if results := _tuned(evaluation):
        entry = {
            "task": {"type": _task(work)},
            "dataset": {"type": "held-out", "name": "held-out rows"},
            "metrics": [{"type": name.lower(), "name": name, "value": value} for name, value in results.items()],
        }
        lines += ["model-index:", f"- name: {json.dumps(config.run.name)}", f"  results: {json.dumps([entry])}"]
    return [*lines, "---", ""]


def _task(work: Workload) -> str:
    return "text-classification" if work.has_head else "text-generation"


def _tuned(evaluation: dict[str, Any]) -> dict[str, float]:
    """The tuned model's own figures over all rows, by metric."""
    rows = [r for r in evaluation["results"] if r.get("slice") is None and r["baseline"] == "base"]
    return {r["metric"]: r["tuned"] for r in rows}


def _definitions(evaluation: dict[str, Any], whole: list[dict[str, Any]]) -> list[str]:
    """What each figure is, and how answers were normalised for it."""
    about = evaluation.get("metrics", {})
    told = []
    for metric, definition in {r["metric"]: r["definition"] for r in whole}.items():
        described = about.get(metric, {})
        how = described.get("signature") or described.get("normalization")
        by = described.get("computedBy")
        more = "; ".join(part for part in (by and f"computed by {by}", how and f"normalisation: {how}") if part)
        told.append(f"- {metric}: {definition}{f' ({more})' if more else ''}")
    return [*told, ""]


def _slices(evaluation: dict[str, Any]) -> list[str]:
    """The same by parts of the rows, where the run was asked for them."""
    parts = [result for result in evaluation["results"] if result.get("slice") is not None]
    if not parts:
        return []
    head = ["## Results by part of the rows", "", "| rows where | metric | over | its figure | tuned | rows |"]
    lines = [
        f"| {r['slice'].replace('|', chr(92) + '|')} | {r['metric']} | {r['baseline']} | {r['value']:.4g} | "
        f"{r['tuned']:.4g} | {r['rows']} |"
        for r in parts
    ]
    return [*head, "| --- | --- | --- | --- | --- | --- |", *lines, ""]


def _forgetting(evaluation: dict[str, Any]) -> list[str]:
    """What it reads of general text, where that was measured."""
    found = evaluation.get("forgetting")
    if not found or found.get("ratio") is None:
        return []
    divergence = found.get("meanTokenKL")
    told = (
        f"Perplexity {found['tunedPerplexity']:.4g}, of the base {found['basePerplexity']:.4g} (ratio "
        f"{found['ratio']:.4g}), over {found['tokens']} tokens of {found['rows']} texts."
    )
    more = "" if divergence is None else f" Mean token KL to the base: {divergence:.3g} nats."
    return ["## General text", "", told + more, ""]


def _origin(config: RunConfig) -> str:
    work = config.workload
    return (
        f"{work.model.source} fine-tuned with {work.method.value} ({work.tuning.type.value}) by Attune, run "
        f"{config.run.id}. The method is {_LEARNT[work.method]}. Full lineage is in `manifest.json`, beside this "
        "folder."
    )


def _labels(work: Workload, labels: tuple[str, ...]) -> list[str]:
    if not labels:
        return []
    said = {
        ClassificationStyle.TOKEN: "The language model says the label as one token after the text and `Label:`.",
        ClassificationStyle.HEAD: "A classification head gives a score for each label.",
    }
    names = ", ".join(f"`{label}`" for label in labels)
    return ["## Labels", "", f"{names}. {said[work.resolved_classification().style]} See `labels.json`.", ""]


def _result(result: dict[str, Any]) -> str:
    name = result["metric"] + (" (lower is better)" if result["metric"] in _LOWER_IS_BETTER else "")
    low, high = result.get("low"), result.get("high")
    interval = "" if low is None or high is None else f" ({low:.4g} to {high:.4g})"
    difference = f"{result['delta']:+.4g}{interval}"
    return (
        f"| {name} | {result['baseline']} | {result['value']:.4g} | {result['tuned']:.4g} | {difference} | "
        f"{result['rows']} |"
    )


def _effort(training: dict[str, Any]) -> str:
    return (
        f"{training['steps']} steps, {training['tokens']} tokens, {training['epochs']:g} epochs; last loss "
        f"{training['trainLoss']:.4g}."
    )
