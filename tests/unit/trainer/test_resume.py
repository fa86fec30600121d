"""An interrupted training goes on exactly: the same losses, step by step, and the same weights at the end."""

from pathlib import Path
from typing import Any

import pytest

import method_factories as methods
import survival_factories as survival
from attune_contract.enums import Method

pytestmark = pytest.mark.slow
EPOCHS = {"maxSteps": None, "epochs": 3, "batchSize": 4, "scheduler": "Cosine", "warmupRatio": 0.2}
LORA = {"type": "LoRA", "rank": 4, "alpha": 8, "dropout": 0.1}
FULL = {"type": "Full"}


@pytest.mark.parametrize("stops", [(1,), (5,), (4, 9)], ids=["first-epoch", "end-of-epoch", "twice"])
def test_dropout_order_and_optimizer_go_on_wherever_training_stops(tmp_path: Path, stops: tuple[int, ...]) -> None:
    same_as_uninterrupted(tmp_path, Method.SFT, stops, tuning=LORA, training=EPOCHS)


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        pytest.param(Method.SFT, {"tuning": FULL}, id="sft-full"),
        pytest.param(Method.SFT, {"training": {"packing": True, "sequenceLength": 16}}, id="sft-packed"),
        pytest.param(Method.SFT, {"training": {"keepBest": True}, "watched": True}, id="sft-watched"),
        pytest.param(Method.CONTINUED_PRETRAINING, {}, id="continued-pretraining"),
        pytest.param(Method.DPO, {}, id="dpo"),
        pytest.param(Method.DPO, {"tuning": FULL}, id="dpo-full"),
        pytest.param(Method.ORPO, {}, id="orpo"),
        pytest.param(Method.KTO, {}, id="kto"),
        pytest.param(Method.CLASSIFICATION, {}, id="classification-token"),
        pytest.param(Method.CLASSIFICATION, {"classification": {"style": "Head"}}, id="classification-head"),
        pytest.param(
            Method.CLASSIFICATION, {"classification": {"style": "Head"}, "family": "bert"}, id="classification-bert"
        ),
    ],
)
def test_every_method_goes_on_exactly(tmp_path: Path, method: Method, changes: dict[str, Any]) -> None:
    changes = {"tuning": LORA, **changes, "training": {**EPOCHS, **changes.get("training", {})}}
    same_as_uninterrupted(tmp_path, method, (3,), **changes)


def same_as_uninterrupted(folder: Path, method: Method, stops: tuple[int, ...], **changes: Any) -> None:
    import torch

    expected, whole = methods.train(survival.job(folder / "whole", method, **changes))
    for stop in stops:
        checkpoint = survival.attempt(survival.job(folder / "parts", method, **changes), folder, stop_after=stop)
        assert checkpoint.path == f"checkpoints/{stop}/"
    told = survival.board()
    found, parts = survival.attempt(survival.job(folder / "parts", method, **changes), folder, told=told)

    assert told.read().resumed_from_step == stops[-1]
    assert methods.losses(found.history) == pytest.approx(methods.losses(expected.history), abs=1e-6)
    assert [step.step for step in found.history] == [step.step for step in expected.history]
    assert found.figures.tokens == expected.figures.tokens
    assert found.validation == expected.validation
    assert found.step == expected.step
    weights = dict(parts.model.named_parameters())
    for name, weight in whole.model.named_parameters():
        assert torch.allclose(weights[name], weight, atol=1e-6), name
