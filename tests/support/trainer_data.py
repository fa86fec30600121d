"""Runs preflight's reading of data alone: files in, problems and figures out."""

import json
from pathlib import Path
from typing import Any

from attune_contract.outcome import RowError
from attune_contract.spec import Workload
from attune_trainer.data import dataset
from attune_trainer.data.encoding.supervised import Encoder
from attune_trainer.data.objects import DataFile
from attune_trainer.data.problems import ProblemLog
from attune_trainer.storage.file import FileStore


def prompt_completion(number: int = 0) -> str:
    """A good row as a line; rows of different numbers have different prompts."""
    return json.dumps({"prompt": f"Sky {number}?", "completion": " blue"})


def chat(number: int = 0) -> str:
    """A good conversation as a line."""
    return json.dumps(
        {"messages": [{"role": "user", "content": f"Sky {number}?"}, {"role": "assistant", "content": "blue"}]}
    )


def check(
    folder: Path,
    encoder: Encoder | None,
    *,
    test: bool = False,
    closed: bool = False,
    allow_leakage: bool = True,
    method: str = "SFT",
    work: dict[str, Any] | None = None,
    **spec: Any,
) -> tuple[dataset.Checked, ProblemLog]:
    """Checks every file of a folder; those whose name starts with `test` are held out if `test` is set.

    Args:
        folder: has the files.
        encoder: its tokenizer and length are taken.
        test: whether there are test files.
        closed: whether Accuracy is among the metrics.
        allow_leakage: whether rows may be on both sides, as they are in tests that are about something else.
        method: of the run.
        work: other blocks of the manifest.
        spec: fields of the block `dataset`.
    """
    files = tuple(
        DataFile(FileStore().head(f"file://{path}"), FileStore(), "spec.dataset.train[0]", path.name.startswith("test"))
        for path in sorted(folder.iterdir())
    )
    blocks: dict[str, Any] = {
        "model": {"source": "file:///model"},
        "method": method,
        "dataset": {"train": ["file:///train"], "test": ["file:///test"] if test else [], **spec},
        "training": {"epochs": 1},
        "evaluation": {"metrics": [{"name": "Accuracy" if closed else "Perplexity"}]},
        "output": {"uri": "file:///out"},
        **(work or {}),
    }
    blocks["evaluation"] = {"allowLeakage": allow_leakage, **blocks["evaluation"]}
    request = dataset.Request(Workload.model_validate(blocks), files, encoder.sequence_length if encoder else 64)
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    problems = ProblemLog(scratch / "problems.jsonl")
    return dataset.check(request, encoder.tokenizer if encoder else None, problems, scratch, lambda _: None), problems


def errors(problems: ProblemLog) -> list[RowError]:
    """All problems, in order."""
    return [RowError.model_validate(error) for error in problems.all()]
