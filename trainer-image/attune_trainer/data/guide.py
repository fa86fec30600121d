"""What each error and warning means, and how to mend it: one text for page, terminal and docs/preflight.md.

Codes follow OpenAI's data preparation guide ("Data preparation and analysis for chat model fine-tuning") where it has a
name.
"""

from typing import NamedTuple

from attune_contract.enums import DataWarning


class Entry(NamedTuple):
    """One code."""

    meaning: str
    mend: str


ERRORS: dict[str, Entry] = {
    "invalid_json": Entry(
        "The line, or the file, is not JSON.",
        "One object per line in .jsonl; no comments, no trailing commas, double quotes, and no key twice.",
    ),
    "encoding_error": Entry(
        "Bytes that are not UTF-8, half a character, or a compressed file that ends early.",
        "Save the file as UTF-8; make a compressed file again from its source.",
    ),
    "data_type": Entry(
        "A value, or the row itself, is of another type than the format has there.",
        "Give texts as texts and lists as lists; the message says what was expected and what is there.",
    ),
    "missing_messages_list": Entry(
        "A Chat row has no `messages`, or an empty list.",
        "Give each row a list of at least one user message and one assistant message, or remove the row.",
    ),
    "message_missing_key": Entry(
        "A message has no `role`, or no `content`.",
        "Give each message both (an assistant message with `tool_calls` may go without content).",
    ),
    "message_unrecognized_key": Entry(
        "A message has a key that nobody reads, often a misspelt one.",
        "Remove the key; `weight` belongs to assistant messages alone.",
    ),
    "unrecognized_role": Entry(
        "A message's role is not one that the format knows.", "Use system, user, assistant or tool."
    ),
    "roles_do_not_alternate": Entry(
        "Two messages in a row are of the same role, or the conversation begins with the assistant.",
        "After the system message come user, assistant, user, …; join messages that belong together.",
    ),
    "missing_content": Entry(
        "A message is empty, or only white space.", "Write what was said, or remove the message or the row."
    ),
    "example_missing_assistant_message": Entry(
        "No assistant message is there to learn from, or each has weight 0.",
        "End the conversation with the answer that you want, and leave its weight at 1.",
    ),
    "missing_column": Entry(
        "A row lacks a field of its format, or no known format fits the file.",
        "Add the field, or say with `spec.dataset.columns` what it is called in your file.",
    ),
    "empty_prompt": Entry("The prompt, or the text, is empty or only white space.", "Fill it in, or remove the row."),
    "empty_completion": Entry(
        "The completion, one of two answers, or the label is empty.", "Fill it in, or remove the row."
    ),
    "identical_pair": Entry(
        "`chosen` and `rejected` are the same, so that there is nothing to prefer.", "Remove the row, or correct it."
    ),
    "rating_not_a_number": Entry(
        "A rating is neither true or false nor a number (NaN and infinity are none).",
        "Give a number, and `spec.dataset.rating.desirableFrom`, or true and false.",
    ),
    "unknown_label": Entry(
        "A label that `spec.classification.labels` does not list, or that is in test and not in train.",
        "Correct the label, list it, or add rows of it to train.",
    ),
    "label_not_one_token": Entry(
        "Style Token says a label as one token, and this one takes several, or shares its token with another label.",
        "Use short labels, such as A, B, C, or `classification.style: Head`.",
    ),
    "prompt_too_long": Entry(
        "The prompt alone fills the sequence: nothing of the answer would be left to learn.",
        "Raise `training.sequenceLength`, shorten the prompt, or remove the row.",
    ),
    "chat_template_error": Entry(
        "The model's chat template does not take this conversation.",
        "Read the message; another `spec.model.chatTemplate` or simpler roles help.",
    ),
    "no_chat_template": Entry(
        "The data is conversations, and the model has no chat template.",
        "Use an instruction-tuned model, set `spec.model.chatTemplate`, or give PromptCompletion data.",
    ),
    "tokenizer_missing": Entry(
        "The model has no tokenizer that can be used.", "Put the tokenizer.json that the model was made with beside it."
    ),
    "too_few_rows": Entry(
        "Not enough usable rows are left to train, to choose the best weights by, or to evaluate.",
        "Add rows, mend those with errors, or change `split.testFraction` or `split.validationFraction`.",
    ),
    "accuracy_needs_closed_set": Entry(
        "Accuracy chooses among the answers seen in train, and there are too many.",
        "Use ExactMatch or Perplexity for free text.",
    ),
    "object_not_found": Entry(
        "No file is where the manifest says, or none there is of a kind that can be read.",
        "Correct the URI; a folder ends in `/`, and file names end in one of the known suffixes.",
    ),
    "access_denied": Entry(
        "The store knows the file, and does not let these keys read it.",
        "Give the keys the right to read and list, or name another Secret.",
    ),
}
"""By code."""

WARNINGS: dict[DataWarning, Entry] = {
    DataWarning.TRUNCATION: Entry(
        "Rows of train are longer than the sequence; what is beyond it is not learnt.",
        "Raise `training.sequenceLength` (memory grows with it), or shorten the rows.",
    ),
    DataWarning.DUPLICATES: Entry(
        "Rows of train repeat an earlier one exactly, and count that much more.",
        "Remove them, unless the weight is meant.",
    ),
    DataWarning.NEAR_DUPLICATES: Entry(
        "Rows of train hardly differ: three quarters of their pairs of words are the same (by MinHash).",
        "Keep one of each. Only the first rows are compared; the figures say up to which number.",
    ),
    DataWarning.CONFLICTING_DUPLICATES: Entry(
        "The same prompt has different answers, the same answer both ratings, or the same text two labels.",
        "Decide which is right. Different pairs for one prompt (DPO, ORPO) are fine, the same pair swapped is not.",
    ),
    DataWarning.LEAKAGE: Entry(
        "Rows of test are in train too, and scores will look too good. In 13 words in a row, or nearly, is a warning; "
        "exactly is an error, unless `spec.evaluation.allowLeakage` is true.",
        "Remove the rows from train. Runs that over ten rows of train share are taken for boilerplate.",
    ),
    DataWarning.LABEL_IMBALANCE: Entry(
        "One label has at least ten times as many rows as another.",
        "Add rows of the rare labels; `classification.classWeights: Balanced` helps some.",
    ),
    DataWarning.FEW_ROWS: Entry(
        "Fewer than 50 rows to train on; the result will depend on chance.", "Add rows, and do not trust small gains."
    ),
    DataWarning.PERSONAL_DATA: Entry(
        "Text that looks like an e-mail address, a card number (with its check digit) or an IBAN.",
        "Remove or replace it: a model may repeat what it learnt. Names and telephone numbers are not looked for.",
    ),
    DataWarning.SECRETS: Entry(
        "Text that looks like a password, a private key, or a token of a known service.",
        "Revoke it, then remove it: a model may repeat what it learnt.",
    ),
    DataWarning.SPECIAL_TOKENS: Entry(
        "Text holds the tokenizer's control tokens, which would end or begin a turn there.",
        "Remove them; roles belong into Chat data, where the chat template puts them.",
    ),
}
"""By warning."""


def entry(code: str) -> Entry | None:
    """What there is to say of a code, be it an error or a warning; None for one of another version."""
    known = {str(warning.value): text for warning, text in WARNINGS.items()}
    return ERRORS.get(code) or known.get(code)


def tables() -> str:
    """Both tables in Markdown, for docs/preflight.md."""
    warned = {code.value: text for code, text in WARNINGS.items()}
    return f"## Errors\n\n{_table(ERRORS)}\n## Warnings\n\n{_table(warned)}"


def _table(entries: dict[str, Entry]) -> str:
    rows = [f"| `{code}` | {text.meaning} | {text.mend} |\n" for code, text in entries.items()]
    return "".join(["| code | what it means | how to mend it |\n", "| --- | --- | --- |\n", *rows])


if __name__ == "__main__":
    print(tables())  # noqa: T201
