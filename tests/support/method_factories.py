"""Runs one method alone: rows in, losses out, with neither preflight nor store."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trainer_factories as make
from attune_contract.enums import Method
from attune_contract.spec import Workload
from attune_trainer.data import canonical
from attune_trainer.data.examples import Document, Labeled, Pair, Rated, Supervised, Turn
from attune_trainer.distributed import Process
from attune_trainer.models import BaseModel, Listing

if TYPE_CHECKING:  # torch is imported where it is used: collecting tests should not take seconds
    from attune_trainer.methods.base import Job, Loaded, Step, Trained

TRAINING = {
    "maxSteps": 4,
    "batchSize": 4,
    "learningRate": 0.005,
    "sequenceLength": 64,
    "warmupRatio": 0.0,
    "scheduler": "Linear",
}
SIZES = ("small", "big", "old", "new", "cold", "warm")
COLOURS = {"grass": " green", "sky": " blue", "blood": " red"}
OTHER = {" green": " white", " blue": " green and blue", " red": " white"}
PROMPTS = [(f"The {size} {thing} is", colour) for size in SIZES for thing, colour in COLOURS.items()]


def prompt(text: str) -> tuple[Turn, ...]:
    return (Turn("prompt", text),)


def answer(text: str) -> tuple[Turn, ...]:
    return (Turn("completion", text, 1),)


def rows_of(method: Method) -> list[Any]:
    """18 rows of the method's kind."""
    made: dict[Method, list[Any]] = {
        Method.SFT: [Supervised(f"x#{i}", prompt(p) + answer(a)) for i, (p, a) in enumerate(PROMPTS)],
        Method.CONTINUED_PRETRAINING: [Document(f"x#{i}", (p + a + ". ") * 3) for i, (p, a) in enumerate(PROMPTS)],
        Method.DPO: [
            Pair(f"x#{i}", prompt(p), answer(a), (Turn("completion", OTHER[a]),)) for i, (p, a) in enumerate(PROMPTS)
        ],
        Method.KTO: [
            Rated(f"x#{i}", prompt(p), answer(a if i % 3 else OTHER[a]), i % 3 > 0) for i, (p, a) in enumerate(PROMPTS)
        ],
        Method.CLASSIFICATION: [Labeled(f"x#{i}", p, _label(i, a)) for i, (p, a) in enumerate(PROMPTS)],
    }
    made[Method.ORPO] = made[Method.DPO]
    return made[method]


def _label(number: int, colour: str) -> str:
    """Some of one label are of another, so that labels have different numbers of rows."""
    return "green" if number % 4 == 0 else colour.strip()


def job(folder: Path, method: Method, rows: Sequence[Any] | None = None, **changes: Any) -> "Job":
    """A training of a few steps on the CPU over the model in `folder/model`; `changes` as in `workload`."""
    from attune_trainer.methods.base import Job
    from attune_trainer.methods.device import Device

    kind = canonical.kind_of(method)
    folder.mkdir(parents=True, exist_ok=True)
    with canonical.Writer(folder / "train.parquet", kind) as writer:
        for row in rows or rows_of(method):
            writer.write(row)
    changes = {"evaluation": None, **changes, "training": {**TRAINING, **changes.get("training", {})}}
    blocks = make.workload(folder, method=method.value, **changes)
    blocks["training"].pop("epochs") if blocks["training"]["maxSteps"] else blocks["training"].pop("maxSteps")
    blocks.pop("evaluation")
    base = BaseModel(Listing("file:///base", {}), folder / "model", trust_remote_code=False)
    return Job(
        work=Workload.model_validate(blocks),
        base=base,
        train=folder / "train.parquet",
        process=Process(),
        device=Device("cpu", bf16=False),
        folder=folder,
        on_step=lambda _: None,
        clock=time.monotonic,
    )


def train(given: "Job", folder: Path | None = None) -> "tuple[Trained, Loaded]":
    """The five steps of a method; saves where a folder is given."""
    from attune_trainer.methods.registry import METHODS

    method = METHODS[given.work.method]
    loaded = method.load(given)
    rows = method.prepare(given, loaded)
    watched = method.prepare(replace(given, train=given.validation), loaded) if given.validation else ()
    trained = method.train(given, method.build(given, loaded, rows, watched))
    if folder:
        method.save(given, loaded, folder)
    return trained, loaded


def losses(history: "Sequence[Step]") -> list[float]:
    """The loss of every step."""
    return [step.loss for step in history]
