"""The model card: a README.md that tells a finder what this is, how good it is, and how to load it."""

from typing import Any

from attune_contract.enums import MetricName, OutputFormat
from attune_contract.runconfig import RunConfig

_WHOLE = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("path/to/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")"""
_ADAPTER = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("path/to/the/base")  # {source}
model = PeftModel.from_pretrained(base, "path/to/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/to/this/folder")"""


def render(config: RunConfig, form: OutputFormat, results: list[dict[str, Any]], training: dict[str, Any]) -> str:
    """The card as Markdown.

    Args:
        config: the run.
        form: what is in the folder.
        results: metric results as in the evaluation's report.
        training: figures as in the training report.
    """
    work = config.workload
    load = _ADAPTER.format(source=work.model.source) if form is OutputFormat.ADAPTER else _WHOLE
    lines = [
        f"# {config.run.name}",
        "",
        _origin(config),
        "",
        "## Results on held-out rows",
        "",
        "| metric | base | tuned | rows |",
        "| --- | --- | --- | --- |",
        *(f"| {_name(r)} | {r['value']:.4g} | {r['tuned']:.4g} | {r['rows']} |" for r in results),
        "",
        "## Training",
        "",
        _effort(training),
        "",
        "## Use",
        "",
        "```python",
        load,
        "```",
        "",
    ]
    return "\n".join(lines)


def _name(result: dict[str, Any]) -> str:
    name: str = result["metric"]
    return f"{name} (lower is better)" if name == MetricName.PERPLEXITY else name


def _origin(config: RunConfig) -> str:
    work = config.workload
    return (
        f"{work.model.source} fine-tuned with {work.method.value} ({work.tuning.type.value}) by Attune, run "
        f"{config.run.id}. Full lineage is in `manifest.json`, beside this folder."
    )


def _effort(training: dict[str, Any]) -> str:
    return (
        f"{training['steps']} steps, {training['tokens']} tokens, {training['epochs']:g} epochs; last loss "
        f"{training['trainLoss']:.4g}."
    )
