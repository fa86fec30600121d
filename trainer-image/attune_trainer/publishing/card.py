"""The model card: a README.md that tells a finder what this is, how good it is, and how to load and use it."""

from typing import Any

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
        *_metadata(work),
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
        *(f"- {metric}: {definition}" for metric, definition in {r["metric"]: r["definition"] for r in whole}.items()),
        "",
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


def _metadata(work: Workload) -> list[str]:
    """What model hubs read: library and task."""
    adapter = work.output.resolved_format(work.tuning.type) is OutputFormat.ADAPTER
    return [
        "---",
        f"library_name: {'peft' if adapter else 'transformers'}",
        f"pipeline_tag: {'text-classification' if usage.has_head(work) else 'text-generation'}",
        f"tags: [attune, {work.method.value.lower()}, {work.tuning.type.value.lower()}]",
        "---",
        "",
    ]


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
