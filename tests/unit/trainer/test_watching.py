"""Training that is watched with a validation part of train: its loss, the best weights, and an early end."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import method_factories as methods
import trainer_factories as make
from attune_contract.enums import Method
from attune_trainer.data import canonical
from attune_trainer.errors import DivergedError
from attune_trainer.heart import Heart

METHODS = list(Method)
OVERFITS = {"maxSteps": None, "epochs": 40, "learningRate": 0.02, "keepBest": True}


def watched(folder: Path, method: Method, rows: list[Any] | None = None, **training: Any) -> Any:
    """A job whose first rows are learnt, and the last six watched with."""
    make.make_model(folder / "model")
    known = rows or methods.rows_of(method)
    given = methods.job(folder, method, known[:-6], training=training)
    with canonical.Writer(folder / "validation.parquet", canonical.kind_of(method)) as writer:
        for row in known[-6:]:
            writer.write(row)
    return replace(given, validation=folder / "validation.parquet")


def contradicting() -> list[Any]:
    """Rows to watch with whose answers are wrong: the better the others are learnt, the higher their loss."""
    rows = methods.rows_of(Method.SFT)
    wrong = [
        replace(row, row_id=f"w#{i}", turns=(row.turns[0], row.turns[1]._replace(content=" white")))
        for i, row in enumerate(rows[:6])
    ]
    return [*rows, *wrong]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_takes_the_loss_of_rows_that_it_does_not_learn(tmp_path: Path, method: Method) -> None:
    trained, _ = methods.train(watched(tmp_path, method))

    assert [point.step for point in trained.validation] == [1, 2, 3, 4]
    assert all(math.isfinite(point.loss) for point in trained.validation)
    assert trained.figures.validation_loss == trained.validation[-1].loss
    assert (trained.step, trained.stopped_early) == (4, False)


def test_the_loss_is_taken_ten_times_and_at_the_end_of_each_epoch(tmp_path: Path) -> None:
    trained, _ = methods.train(watched(tmp_path, Method.SFT, maxSteps=None, epochs=5))  # of three steps each

    assert [point.step for point in trained.validation] == [2, 3, 5, 6, 8, 9, 11, 12, 14, 15]


def test_the_loss_counts_each_token_the_same_however_rows_are_batched(tmp_path: Path) -> None:
    losses = []
    for size in (2, 6):
        given = watched(tmp_path / str(size), Method.SFT, maxSteps=1, batchSize=size, learningRate=1e-9)
        losses.append(methods.train(given)[0].validation[0].loss)

    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_best_weights_are_kept_and_not_the_last(tmp_path: Path) -> None:
    given = watched(tmp_path, Method.SFT, contradicting(), **OVERFITS)
    trained, loaded = methods.train(given)
    best = min(trained.validation, key=lambda point: point.loss)

    assert trained.validation[-1].loss > best.loss + 0.5
    assert (trained.step, trained.figures.validation_loss) == (best.step, best.loss)
    assert loss_of(given, loaded) == pytest.approx(best.loss, rel=1e-4)


def test_keeping_and_going_back_may_take_longer_than_a_step(tmp_path: Path) -> None:
    """All weights of a large model take minutes to gather and to write."""
    allowed: list[str] = []

    class Told(Heart):
        def allow(self, doing: str) -> None:
            allowed.append(doing)

    given = watched(tmp_path, Method.SFT, contradicting(), **{**OVERFITS, "epochs": 8})
    methods.train(replace(given, heart=Told(None)))

    assert allowed[0] == "keeping the best weights"
    assert allowed[-1] == "going back to the best weights"


def loss_of(given: Any, loaded: Any) -> float:
    """The loss of a model on the validation rows, by itself."""
    from attune_trainer.methods.registry import METHODS as REGISTRY

    method = REGISTRY[given.work.method]
    rows = method.prepare(replace(given, train=given.validation), loaded)
    found: dict[str, float] = method.build(given, loaded, rows, rows).evaluate()
    return found["eval_loss"]


def test_training_ends_early_where_it_gets_no_better(tmp_path: Path) -> None:
    given = watched(tmp_path, Method.SFT, contradicting(), **OVERFITS, earlyStopping={"patience": 2})
    trained, _ = methods.train(given)
    best = min(trained.validation, key=lambda point: point.loss)

    assert trained.stopped_early
    assert trained.validation.index(best) == len(trained.validation) - 3
    assert trained.figures.steps == trained.validation[-1].step < 160


def test_watching_alone_keeps_the_last_weights(tmp_path: Path) -> None:
    given = watched(tmp_path, Method.SFT, contradicting(), **{**OVERFITS, "keepBest": False, "epochs": 5})
    trained, _ = methods.train(given)

    assert trained.step == trained.figures.steps == trained.validation[-1].step


def test_a_validation_loss_that_is_no_number_ends_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from attune_trainer.methods import loop

    real = loop.token_mean

    def poisoned(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        found = real(outputs, labels, num_items_in_batch)
        return found if outputs.logits.requires_grad else found * float("nan")

    monkeypatch.setattr(loop, "token_mean", poisoned)
    with pytest.raises(DivergedError, match="validation rows became nan at step 1"):
        methods.train(watched(tmp_path, Method.SFT))
