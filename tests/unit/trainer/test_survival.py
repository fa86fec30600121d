"""The small parts of a training that survives: signs of life, signals, losses that go wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.enums import Stage
from attune_contract.outcome import Outcome
from attune_contract.runconfig import RunConfig
from attune_trainer import command, launch, locks, supervision
from attune_trainer.context import Context
from attune_trainer.heart import ALLOWANCE, FACTOR, Heart, Watcher, floor_of
from attune_trainer.stop import MARGIN, Stopper


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def heart(folder: Path, clock: Clock, floor: float = 5) -> Heart:
    return Heart(folder / "0.beat", floor, clock)


@pytest.mark.parametrize(
    ("steps", "limit"),
    [
        pytest.param([], ALLOWANCE, id="no-step-measured-yet"),
        pytest.param([0.1, 0.1, 0.1], 5, id="short-steps-have-a-floor"),
        pytest.param([2, 2, 90], FACTOR * 2, id="the-median-and-not-the-mean"),
    ],
)
def test_how_long_a_step_may_take(tmp_path: Path, steps: list[float], limit: float) -> None:
    clock = Clock()
    own = heart(tmp_path, clock)
    own.step("first")
    for seconds in steps:
        clock.now += seconds
        own.step("next")

    assert own.limit == limit


def test_a_process_without_progress_is_noticed_and_what_it_did(tmp_path: Path) -> None:
    clock = Clock()
    own, watcher = heart(tmp_path, clock), Watcher(tmp_path, clock)
    for number in range(4):
        own.step(f"step {number}")
        assert watcher.stalled() is None
        clock.now += 0.5
    clock.now += 3
    assert watcher.stalled() is None
    clock.now += 2

    assert watcher.stalled() == ("step 3", 5.5)
    own.beat()
    assert watcher.stalled() is None


def test_a_full_disk_does_not_make_a_process_look_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    own, watcher = heart(tmp_path, clock), Watcher(tmp_path, clock)
    own.step("first")

    def full(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    for number in range(30):
        own.step(f"step {number}")
        assert watcher.stalled() is None
        clock.now += 1


def test_saving_may_take_longer_than_a_step(tmp_path: Path) -> None:
    clock = Clock()
    own, watcher = heart(tmp_path, clock), Watcher(tmp_path, clock)
    for number in range(4):
        own.step(f"step {number}")
        clock.now += 1
    own.allow("saving")
    assert watcher.stalled() is None
    clock.now += ALLOWANCE - 1

    assert watcher.stalled() is None


def test_a_process_that_ended_is_not_waited_for(tmp_path: Path) -> None:
    """The first one may take longer than any allowance to upload what they made together."""
    clock = Clock()
    own, watcher = heart(tmp_path, clock), Watcher(tmp_path, clock)
    own.allow("saving")
    assert watcher.stalled() is None
    clock.now += ALLOWANCE + 1
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    (tmp_path / "0.pid").write_text(str(ended.pid))
    assert watcher.stalled() is None
    (tmp_path / "0.pid").write_text(str(os.getpid()))

    assert watcher.stalled() == ("saving", ALLOWANCE + 1)


def test_training_is_watched_over_from_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = make.document(tmp_path)
    seen: list[Any] = []

    def stage(context: Context) -> Outcome:
        seen.append(json.loads((tmp_path / "0.beat").read_text()))
        context.heart._written = float("-inf")
        context.run.put_bytes("some", b"")
        (tmp_path / "some").write_bytes(b"")
        context.run.put_file("some", tmp_path / "some")
        seen.append(json.loads((tmp_path / "0.beat").read_text()))
        return context.outcome("")

    monkeypatch.setattr(command, "_entry", lambda _: stage)
    variables = {launch.FOLDER_VARIABLE: str(tmp_path)}
    command.attempt(document, RunConfig.model_validate(document), Stage.TRAIN, variables)

    assert [(sign["doing"], sign["limit"]) for sign in seen] == [("fetching model and data", ALLOWANCE)] * 2
    assert seen[0]["count"] < seen[1]["count"], "a file that goes to the store is a sign of life"


def test_who_waits_for_another_process_says_that_nothing_is_wrong(tmp_path: Path) -> None:
    beats: list[int] = []
    entered = threading.Event()

    def wait() -> None:
        with locks.alone(tmp_path / "lock", lambda: beats.append(1)):
            entered.set()

    with locks.alone(tmp_path / "lock"):
        other = threading.Thread(target=wait)
        other.start()
        deadline = time.monotonic() + 10
        while not beats and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not entered.is_set()
    other.join(10)

    assert beats
    assert entered.is_set()


def test_signs_are_not_written_for_every_short_step(tmp_path: Path) -> None:
    clock = Clock()
    own = heart(tmp_path, clock)
    for _ in range(500):
        own.step("step")
        clock.now += 0.01

    assert json.loads((tmp_path / "0.beat").read_text())["count"] <= 7


@pytest.mark.parametrize(("given", "floor"), [({}, 120.0), ({"ATTUNE_STALL_SECONDS": "15"}, 15.0)])
def test_the_floor_is_the_environments(given: dict[str, str], floor: float) -> None:
    assert floor_of(given) == floor
    assert floor_of({"ATTUNE_STALL_SECONDS": "soon"}) == 120.0


@pytest.mark.parametrize("prepared", [False, True])
def test_who_is_asked_to_stop_ends_at_once_unless_prepared(prepared: bool) -> None:
    said: list[str] = []
    stopper = Stopper(
        lambda: said.append("last words"),
        143,
        MARGIN,
        on_ask=lambda: said.append("passed on"),
        leave=lambda code: said.append(f"left with {code}"),
    )
    if prepared:
        stopper.prepare()
    stopper.ask()

    assert stopper.asked
    assert stopper.seconds_left == 0
    assert said == [*(["passed on"] if prepared else []), "last words", "left with 143"]


def test_who_is_not_asked_has_all_the_time() -> None:
    assert Stopper(lambda: None, 0, 30).seconds_left is None


@pytest.mark.parametrize(
    ("name", "text", "kills"),
    [
        pytest.param("memory.events", "low 0\noom 3\noom_kill 2\n", 2, id="cgroup-v2"),
        pytest.param("memory/memory.oom_control", "under_oom 0\noom_kill 1\n", 1, id="cgroup-v1"),
        pytest.param("memory.events", "low 0\n", 0, id="an-old-kernel"),
        pytest.param("other", "", 0, id="no-cgroup"),
    ],
)
def test_kills_for_memory_are_counted(tmp_path: Path, name: str, text: str, kills: int) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)

    assert supervision.out_of_memory_kills(tmp_path) == kills


LOSSES = [1.0 + 0.01 * n for n in range(30)]


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        pytest.param([*LOSSES, float("nan")], "became nan at step 31 of 99, learning rows r60, r61.", id="nan"),
        pytest.param([1.0, float("inf")], "became inf at step 2 of 99, learning rows r2, r3.", id="infinite"),
        pytest.param(
            [*LOSSES, *[9.0] * 20], "exploded from 1.15 to 9 at step 31 of 99, learning rows r60", id="exploded"
        ),
        pytest.param([*LOSSES, *[9.0] * 19, 1.0, *[9.0] * 19], None, id="spikes-that-it-recovers-from"),
        pytest.param([9.0] * 60, None, id="high-from-the-beginning"),
        pytest.param([0.01] * 30 + [0.9] * 30, None, id="small-losses-may-rise"),
    ],
)
def test_a_loss_that_goes_wrong_names_the_step_and_its_rows(losses: list[float], words: str | None) -> None:
    import torch

    from attune_trainer.checkpointing.gang import Gang
    from attune_trainer.distributed import Process
    from attune_trainer.errors import DivergedError
    from attune_trainer.methods.divergence import Record

    record = Record(Gang(Process()), lambda places: [f"r{place}" for place in places], "Look.")

    def learn() -> None:
        for step, loss in enumerate(losses, start=1):
            record.learnt(step, [2 * step - 2, 2 * step - 1], torch.tensor(loss))
            record.check(loss, step, 99)

    if words is None:
        learn()
        return
    with pytest.raises(DivergedError, match=words):
        learn()


def test_losses_between_two_logged_steps_name_the_first_bad_one() -> None:
    import torch

    from attune_trainer.checkpointing.gang import Gang
    from attune_trainer.distributed import Process
    from attune_trainer.errors import DivergedError
    from attune_trainer.methods.divergence import Record

    record = Record(Gang(Process()), lambda places: [f"r{place}" for place in places], "Look.")
    for step in range(1, 6):
        record.learnt(step, [10 * step], torch.tensor(1.0))
        record.learnt(step, [10 * step + 1], torch.tensor(float("nan") if step >= 3 else 1.0))

    with pytest.raises(DivergedError, match="at step 3 of 9, learning rows r30, r31"):
        record.check(float("nan"), 5, 9)


def methods_and_places() -> list[Any]:
    from attune_contract.enums import Method

    return [
        pytest.param(Method.SFT, {}, id="sft"),
        pytest.param(Method.SFT, {"training": {"packing": True, "sequenceLength": 32}}, id="packed"),
        pytest.param(Method.CONTINUED_PRETRAINING, {}, id="continued-pretraining"),
        pytest.param(Method.DPO, {}, id="dpo"),
        pytest.param(Method.ORPO, {}, id="orpo"),
        pytest.param(Method.KTO, {}, id="kto"),
        pytest.param(Method.CLASSIFICATION, {"classification": {"style": "Head"}}, id="head"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "changes"), methods_and_places())
def test_every_method_knows_the_rows_of_a_batch(
    tmp_path: Path, method: Any, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a step learns from, its ids are those of the rows whose tokens it saw: all of them, once an epoch."""
    import method_factories as methods
    from attune_trainer.methods.divergence import Record

    seen: list[list[str]] = []
    real = Record.check

    def check(self: Any, loss: float, step: int, total: int) -> None:
        seen.append([row for batch in self._batches for row in self._ids(batch.rows)])
        real(self, loss, step, total)

    monkeypatch.setattr(Record, "check", check)
    make.make_model(tmp_path / "model")
    training = {"maxSteps": None, "epochs": 1, "batchSize": 4, **changes.get("training", {})}
    methods.train(methods.job(tmp_path, method, **{**changes, "training": training}))
    rows = [row.row_id for row in methods.rows_of(method)]

    assert {row for batch in seen for row in batch} == set(rows)
    if len(seen) > 1:
        assert all(0 < len(batch) < len(rows) for batch in seen)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_order_of_a_later_epoch_is_drawn_whatever_is_wrapped_around_the_sampler(processes: int) -> None:
    from accelerate.data_loader import BatchSamplerShard, DataLoaderShard, SeedableRandomSampler, skip_first_batches
    from torch.utils.data import BatchSampler

    from attune_trainer.checkpointing.state import put_sampler

    def loader() -> Any:
        inner: Any = BatchSampler(SeedableRandomSampler(range(16), data_seed=3), 2, drop_last=False)
        sampler = inner if processes == 1 else BatchSamplerShard(inner, num_processes=processes, process_index=1)
        return DataLoaderShard(list(range(16)), batch_sampler=sampler)

    def drawn(rows: Any, epoch: int) -> list[list[int]]:
        rows.set_epoch(epoch)  # as the Trainer does
        return [batch.tolist() for batch in rows]

    whole, later = loader(), loader()
    epochs = [drawn(whole, epoch) for epoch in range(3)]
    put_sampler(later, 2)

    assert drawn(skip_first_batches(later, 1), 2) == epochs[2][1:]
    assert epochs[2] != epochs[0]


def test_process_1_of_a_container_hears_sigterm_before_it_has_read_its_own_code(tmp_path: Path) -> None:
    """It stands at reading its configuration, a pipe that nobody writes to, and in front of that at its imports."""
    config = tmp_path / "config"
    os.mkfifo(config)
    alone = ["unshare", "--fork", "--pid", "--kill-child"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a process cannot be made process 1 here: unshare --pid is refused")
    started = subprocess.Popen([*alone, sys.executable, "-m", "attune_trainer", "train", "--config", str(config)])
    try:
        handled = soon(lambda: handles_sigterm(child_of(started.pid)))
        os.kill(child_of(started.pid), signal.SIGTERM)
        assert started.wait(timeout=30) == 128 + signal.SIGTERM
    finally:
        started.kill()
        started.wait()
    assert handled


def child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()[0])


def handles_sigterm(pid: int) -> bool:
    caught = re.search(r"^SigCgt:\s+(\w+)", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE)
    assert caught
    return bool(int(caught[1], 16) & 1 << signal.SIGTERM - 1)


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it does within half a minute; what cannot be looked at yet does not hold."""
    for _ in range(3000):
        with suppress(OSError, IndexError):
            if holds():
                return True
        time.sleep(0.01)
    return False
