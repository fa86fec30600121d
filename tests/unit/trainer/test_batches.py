"""How a batch is divided over processes and micro-batches."""

import subprocess
import sys

import pytest

from attune_contract.spec import Training
from attune_trainer.errors import InvalidConfigurationError
from attune_trainer.methods.batches import BatchPlan, missing_rows, plan, total_steps


@pytest.mark.parametrize(
    ("batch_size", "processes", "longest", "expected"),
    [
        pytest.param(16, 1, 100, BatchPlan(16, 1, 1), id="fits-at-once"),
        pytest.param(16, 1, 512, BatchPlan(8, 2, 1), id="two-micro-batches"),
        pytest.param(16, 1, 100_000, BatchPlan(1, 16, 1), id="at-least-one-row"),
        pytest.param(12, 1, 1000, BatchPlan(4, 3, 1), id="only-divisors"),
        pytest.param(7, 1, 2000, BatchPlan(1, 7, 1), id="prime"),
        pytest.param(16, 4, 100, BatchPlan(4, 1, 4), id="over-processes"),
        pytest.param(16, 2, 1000, BatchPlan(4, 2, 2), id="both"),
    ],
)
def test_a_batch_is_divided_exactly(batch_size: int, processes: int, longest: int, expected: BatchPlan) -> None:
    made = plan(batch_size, processes, longest, tokens_at_once=4096)

    assert made == expected
    assert made.micro * made.accumulation * made.processes == batch_size


@pytest.mark.parametrize(
    ("batch_size", "processes", "says"), [(10, 4, "use 8 or 12"), (3, 8, "use 8"), (1, 2, "use 2")]
)
def test_a_batch_that_cannot_be_divided_is_refused(batch_size: int, processes: int, says: str) -> None:
    with pytest.raises(InvalidConfigurationError, match=says):
        plan(batch_size, processes, 10, 4096)


@pytest.mark.parametrize(
    ("rows", "batch", "expected"),
    [
        pytest.param(29, BatchPlan(8, 1, 1), 0, id="a-lone-process-needs-none"),
        pytest.param(29, BatchPlan(4, 1, 2), 3, id="up-to-whole-micro-batches"),
        pytest.param(32, BatchPlan(4, 1, 2), 0, id="even"),
    ],
)
def test_rows_are_filled_up_and_never_repeated(rows: int, batch: BatchPlan, expected: int) -> None:
    assert missing_rows(rows, batch) == expected


@pytest.mark.parametrize(
    ("most", "least", "expected"),
    [
        pytest.param(None, 1, BatchPlan(8, 2, 1), id="tokens-alone"),
        pytest.param(5, 1, BatchPlan(4, 4, 1), id="memory-allows-less"),
        pytest.param(0, 1, BatchPlan(1, 16, 1), id="at-least-one"),
        pytest.param(1, 2, BatchPlan(2, 8, 1), id="a-loss-over-several"),
    ],
)
def test_a_micro_batch_is_kept_between_limits(most: int | None, least: int, expected: BatchPlan) -> None:
    assert plan(16, 1, 512, 4096, most=most, least=least) == expected


@pytest.mark.parametrize(("batch_size", "processes", "says"), [(1, 1, "use 2 or more"), (4, 4, "use 8 or more")])
def test_a_batch_that_is_too_small_for_the_loss_is_refused(batch_size: int, processes: int, says: str) -> None:
    with pytest.raises(InvalidConfigurationError, match=says):
        plan(batch_size, processes, 10, 4096, least=2)


@pytest.mark.parametrize(
    ("training", "rows", "expected"),
    [
        pytest.param({"epochs": 2}, 32, 8, id="whole-batches"),
        pytest.param({"epochs": 2}, 29, 8, id="a-last-batch-that-is-smaller"),
        pytest.param({"epochs": 1.5}, 29, 6, id="half-an-epoch"),
        pytest.param({"maxSteps": 5}, 29, 5, id="as-many-as-said"),
    ],
)
def test_steps_are_counted(training: dict[str, float], rows: int, expected: int) -> None:
    assert total_steps(Training.model_validate({"batchSize": 8, **training}), rows) == expected


def test_planning_needs_no_torch() -> None:
    """Preflight estimates with it, in an image without torch."""
    code = "import sys; sys.modules['torch'] = None; import attune_trainer.methods.batches"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=False)

    assert done.returncode == 0
