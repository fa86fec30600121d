"""Runs preflight's reading of data alone: files in, problems and figures out."""

import json
from pathlib import Path
from typing import Any

from attune_contract.outcome import RowError
from attune_contract.spec import Dataset
from attune_trainer.data import dataset
from attune_trainer.data.encoding import Encoder
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
    folder: Path, encoder: Encoder | None, *, test: bool = False, closed: bool = False, **spec: Any
) -> tuple[dataset.Checked, ProblemLog]:
    """Checks every file of a folder; those whose name starts with `test` are held out if `test` is set."""
    files = tuple(
        DataFile(FileStore().head(f"file://{path}"), FileStore(), "spec.dataset.train[0]", path.name.startswith("test"))
        for path in sorted(folder.iterdir())
    )
    given = Dataset(train=("file:///train",), test=("file:///test",) if test else (), **spec)
    request = dataset.Request(given, files, "file:///model", encoder.sequence_length if encoder else 64, closed)
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    problems = ProblemLog(scratch / "problems.jsonl")
    return dataset.check(request, encoder, problems, scratch, lambda _: None), problems


def errors(problems: ProblemLog) -> list[RowError]:
    """All problems, in order."""
    return [RowError.model_validate(error) for error in problems.all()]
