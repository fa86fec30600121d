"""A prompt and its completion, and Alpaca's instruction, input and output."""

from attune_contract.enums import DataFormat
from attune_trainer.data.examples import COMPLETION, PROMPT, Supervised, Turn
from attune_trainer.data.formats.base import Checked, Format, Names, is_blank, text_findings
from attune_trainer.data.problems import Finding
from attune_trainer.data.rows import Row, type_name


def _prompt_completion(row: Row, row_id: str, names: Names) -> Checked:
    prompt_column, completion_column = names.columns[PROMPT], names.columns[COMPLETION]
    prompt, completion = row.get(prompt_column), row.get(completion_column)
    if isinstance(prompt, str) and isinstance(completion, str) and not (is_blank(prompt) or is_blank(completion)):
        return (Supervised(row_id, (Turn(PROMPT, prompt), Turn(COMPLETION, completion, 1))),)
    return [
        *text_findings(row, "empty_prompt", prompt_column),
        *text_findings(row, "empty_completion", completion_column),
    ]


def _alpaca(row: Row, row_id: str, names: Names) -> Checked:
    """The prompt has the headings of Stanford Alpaca (Taori et al. 2023), without its opening sentence."""
    columns = names.columns
    given = row.get(columns["input"])
    findings = [
        *text_findings(row, "empty_prompt", columns["instruction"]),
        *text_findings(row, "empty_completion", columns["output"]),
    ]
    if given is not None and not isinstance(given, str):
        text = f"{columns['input']!r} must be a text, and is {type_name(given)}"
        findings.append(Finding("data_type", text, columns["input"]))
    if findings:
        return findings
    more = "" if is_blank(given) else f"### Input:\n{given}\n\n"
    prompt = f"### Instruction:\n{row[columns['instruction']]}\n\n{more}### Response:\n"
    return (Supervised(row_id, (Turn(PROMPT, prompt), Turn(COMPLETION, row[columns["output"]], 1))),)


PROMPT_COMPLETION = Format(DataFormat.PROMPT_COMPLETION, (PROMPT, COMPLETION), _prompt_completion)
ALPACA = Format(DataFormat.PROMPT_COMPLETION, ("instruction", "output"), _alpaca, ("input",), "Alpaca")
