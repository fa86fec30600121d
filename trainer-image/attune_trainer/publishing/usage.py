"""The lines of Python on a model card: how a published model is loaded, and what it is asked. Tests run them."""

from attune_contract.enums import Method, OutputFormat
from attune_contract.spec import Workload
from attune_trainer.data.encoding.labeled import ASK

FOLDER = "path/to/this/folder"
BASE = "path/to/the/base"
_TEXT = "Some text"


def code(work: Workload, labels: tuple[str, ...]) -> str:
    """Loads the model and uses it once.

    Args:
        work: the manifest's blocks.
        labels: of Classification, in the order of their numbers.
    """
    adapter = work.output.resolved_format(work.tuning.type) is OutputFormat.ADAPTER
    load = _adapter(work, labels) if adapter else _whole(work)
    if work.has_head:
        return f"{load}\n{_HEAD}"
    if work.method is Method.CLASSIFICATION:
        return f"import json\n\n{load}\n{_TOKEN}"
    return f"{load}\n{_GENERATION}"


def _auto(work: Workload) -> str:
    return "AutoModelForSequenceClassification" if work.has_head else "AutoModelForCausalLM"


def _whole(work: Workload) -> str:
    auto = _auto(work)
    return f"""\
from transformers import {auto}, AutoTokenizer

model = {auto}.from_pretrained("{FOLDER}")
tokenizer = AutoTokenizer.from_pretrained("{FOLDER}")"""


def _adapter(work: Workload, labels: tuple[str, ...]) -> str:
    auto = _auto(work)
    head = ""
    if work.has_head:
        head = f", num_labels={len(labels)}, id2label={dict(enumerate(labels))!r}"
    return f"""\
from peft import PeftModel
from transformers import {auto}, AutoTokenizer

base = {auto}.from_pretrained("{BASE}"{head})  # {work.model.source}
model = PeftModel.from_pretrained(base, "{FOLDER}")
tokenizer = AutoTokenizer.from_pretrained("{FOLDER}")"""


_GENERATION = f"""\

inputs = tokenizer("{_TEXT}", return_tensors="pt")  # of a chat model: tokenizer.apply_chat_template(messages, ...)
print(tokenizer.decode(model.generate(**inputs, max_new_tokens=64)[0], skip_special_tokens=True))"""
_HEAD = f"""\

logits = model(**tokenizer("{_TEXT}", return_tensors="pt")).logits[0]
print(model.config.id2label[int(logits.argmax())])"""
_TOKEN = f"""\
labels = json.load(open("{FOLDER}/labels.json", encoding="utf-8"))

inputs = tokenizer("{_TEXT}" + {ASK!r}, return_tensors="pt")
logits = model(**inputs).logits[0, -1]
print(max(labels, key=lambda label: logits[label["token"]])["label"])"""
