"""How far an evaluation is: rows and statistics on one scale."""

from typing import Any

from attune_trainer.evaluation.pace import Pace


class Told:
    """A board that keeps all that it was told."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.fields: dict[str, Any] = {}

    def update(self, **fields: Any) -> None:
        self.fields |= fields
        self.steps.append(self.fields["step"])


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


def test_rows_and_statistics_never_go_back_and_end_at_the_whole() -> None:
    told, clock = Told(), Clock()
    pace = Pace(told, 200, clock)
    for _ in range(20):
        clock.time += 1
        pace.scored(10)
    for answered in range(8):
        pace.judged(answered, 7)
        clock.time += 1

    assert told.fields["total_steps"] == 210
    assert told.steps == sorted(told.steps)
    assert told.steps[-1] == 210
    assert told.fields["eta_seconds"] == 0


def test_the_time_left_is_by_the_pace_of_rows_and_then_of_questions() -> None:
    told, clock = Told(), Clock()
    pace = Pace(told, 100, clock)
    clock.time = 10
    pace.scored(50)
    assert told.fields["eta_seconds"] == 11  # 50 rows, and 5 for the statistics, at 5 a second
    pace.scored(50)
    pace.judged(0, 4)
    clock.time = 12
    pace.judged(1, 4)
    assert told.fields["eta_seconds"] == 6


def test_rows_that_need_no_scoring_promise_nothing() -> None:
    told, clock = Told(), Clock()
    pace = Pace(told, 200, clock)
    clock.time = 5
    pace.spared(100)
    assert (told.fields["step"], told.fields.get("eta_seconds")) == (100, None)
    clock.time = 15
    pace.scored(50)
    assert told.fields["eta_seconds"] == 12  # 60 at 5 a second
