"""Drift by simulation, seeded: quiet weeks raise few alarms, whatever champion they follow, and changes are found."""

from collections import Counter
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import trainer_factories as make
from attune_contract.enums import MetricName, Stage
from attune_contract.monitoring import Look, Published, Variant
from attune_contract.spec import Workload
from attune_trainer.artifacts import RunFiles
from attune_trainer.data import canonical
from attune_trainer.data.examples import Labeled
from attune_trainer.data.split import held_out_by_fraction
from attune_trainer.evaluation.significance.figures import SHARE, mean
from attune_trainer.monitoring import drops, inputs, labels, levels
from attune_trainer.monitoring.look import Reference
from attune_trainer.monitoring.versions import Loaded, Version
from attune_trainer.stages import monitor
from attune_trainer.storage.file import FileStore
from worlds import LABELS, World

pytestmark = pytest.mark.slow

ALLOWED = 0.05
LEVEL = levels.share(ALLOWED, inputs=True, labels=True, metrics=1)
WEEKS, CHAMPIONS = 500, 5
TRAIN, PROMOTED = 600, 500


class Champion:
    """A model that was trained and promoted in a world, and what every later week is held against."""

    def __init__(self, seed: int, train: int = TRAIN) -> None:
        draw, world = np.random.default_rng([seed, 1]), World()
        self.prompts = world.prompts(train, draw)
        self.labels = world.labels(TRAIN, draw)
        self.right = world.right(PROMOTED, draw)

    def moved(self, world: World, rows: int, seed: int, only: str = "") -> dict[str, bool]:
        """What one week's look says."""
        questions = {"inputs": self._inputs, "labels": self._labels, "metric": self._metric}
        return {
            name: ask(world, rows, np.random.default_rng([seed, 2]), seed)
            for name, ask in questions.items()
            if only in {"", name}
        }

    def _inputs(self, world: World, rows: int, draw: np.random.Generator, seed: int) -> bool:
        return inputs.compare(self.prompts, world.prompts(rows, draw), LEVEL.inputs, seed).drifted

    def _labels(self, world: World, rows: int, draw: np.random.Generator, seed: int) -> bool:
        found = labels.compare(self.labels, world.labels(rows, draw), LEVEL.labels, seed)
        return found is not None and found.drifted

    def _metric(self, world: World, rows: int, draw: np.random.Generator, seed: int) -> bool:
        return _drop(self.right, world.right(rows, draw), seed)


def _drop(before: Any, now: Any, seed: int = 1) -> bool:
    found = drops.compare(MetricName.ACCURACY, SHARE, before, now, level=LEVEL.metric, seed=seed)
    return found is not None and found.dropped


def test_quiet_weeks_raise_an_alarm_in_at_most_one_of_twenty() -> None:
    champions = [Champion(seed, train=200) for seed in range(CHAMPIONS)]
    looks = [champions[week % CHAMPIONS].moved(World(), 100, week) for week in range(WEEKS)]
    alarms = sum(any(look.values()) for look in looks)
    assert alarms <= ALLOWED * WEEKS
    assert alarms >= 1, "a test that never raises an alarm is none"


def test_quiet_weeks_of_prompts_that_come_again_and_again_raise_no_more(tmp_path: Path) -> None:
    world = World(repeated=0.5)
    references = [reference(world, tmp_path / str(seed), seed) for seed in range(CHAMPIONS)]
    weeks, alarms = 60, 0
    for week in range(weeks):
        known, rows = references[week % CHAMPIONS], world.asked(300, np.random.default_rng([week, 2]))
        prompts, kinds = [prompt for prompt, _ in rows], Counter(label for _, label in rows)
        shifted = labels.compare(known.labels, kinds, LEVEL.labels, week)
        alarms += inputs.compare(known.prompts, prompts, LEVEL.inputs, week).drifted or bool(
            shifted and shifted.drifted
        )
    assert alarms <= ALLOWED * weeks


def reference(world: World, folder: Path, seed: int) -> Reference:
    """What recent rows are held against, from training data as preflight splits it and a run keeps it."""
    rows = [Labeled(f"x#{i}", *row) for i, row in enumerate(world.asked(700, np.random.default_rng([seed, 1])))]
    keys = [int.from_bytes(sha256(row.prompt_key()).digest()[:8]) for row in rows]
    held_out = held_out_by_fraction(keys, 0.1, seed, [LABELS.index(row.label) for row in rows], LABELS)
    folder.mkdir()
    files = RunFiles(FileStore(), f"file://{folder}/run", Stage.PREFLIGHT)
    for name, is_test in (("train", False), ("test", True)):
        with canonical.Writer(folder / f"{name}.parquet", canonical.LABELED) as writer:
            for row, out in zip(rows, held_out, strict=True):
                if bool(out) is is_test:
                    writer.write(row)
    left = [files.put_file(f"data/{name}.parquet", folder / f"{name}.parquet") for name in ("train", "test")]
    manifest = {"artifacts": [artifact.model_dump(mode="json") for artifact in left]}
    work = Workload.model_validate(make.workload(folder, method="Classification", evaluation={"metrics": None}))
    asked = Look.model_construct(max_rows=2000, seed=seed)
    context: Any = SimpleNamespace(scratch=folder)
    published = Published.model_construct(variant=Variant.CHAMPION, version="v1")
    version = Version(published, manifest, work, files)
    nothing: Any = None
    champion = Loaded(context, version, nothing, nothing, folder / "train.parquet", None)
    return monitor.reference(champion, asked)


@pytest.mark.parametrize(
    ("world", "what"),
    [
        pytest.param(World(swapped=0.2), "inputs", id="a topic nobody asked about before in 20 % of rows"),
        pytest.param(World(accuracy=0.8), "metric", id="10 points less accuracy"),
        pytest.param(World(shares=(0.25, 0.3, 0.2, 0.25)), "labels", id="a label went from 10 % to 25 %"),
    ],
)
def test_a_change_is_found_on_300_rows(world: World, what: str) -> None:
    weeks = 100
    champions = [Champion(seed) for seed in range(10)]
    found = sum(champions[week % 10].moved(world, 300, 1000 + week, what)[what] for week in range(weeks))
    assert found >= 0.9 * weeks


def test_ten_points_are_found_though_the_figure_at_promotion_is_from_300_rows_too() -> None:
    draw, world = np.random.default_rng(7), World(accuracy=0.8)
    found = [_drop(World().right(300, draw), world.right(300, draw)) for _ in range(500)]
    assert np.mean(found) >= 0.9


@pytest.mark.parametrize("accuracy", [0.6, 0.9, 1.0])
@pytest.mark.parametrize(("promoted", "rows"), [(30, 300), (300, 30), (200, 300), (1000, 100)])
def test_a_drop_keeps_its_level_however_few_rows_either_figure_is_from(
    accuracy: float, promoted: int, rows: int
) -> None:
    world, draw = World(accuracy=accuracy), np.random.default_rng(5)
    alarms = [_drop(world.right(promoted, draw), world.right(rows, draw)) for _ in range(600)]
    assert np.mean(alarms) <= LEVEL.metric + 2 * np.sqrt(LEVEL.metric / 600)


def test_a_champion_that_was_lucky_at_promotion_does_not_ring_week_after_week() -> None:
    world, draw = World(), np.random.default_rng(5)
    rates = []
    for _ in range(100):
        promoted = world.right(PROMOTED, draw)
        rates.append(np.mean([_drop(promoted, world.right(100, draw)) for _ in range(50)]))
    assert np.mean(rates) <= LEVEL.metric
    assert np.quantile(rates, 0.9) <= LEVEL.metric + 2 * np.sqrt(LEVEL.metric / 50)


@pytest.mark.parametrize("rows", [30, 1000])
@pytest.mark.parametrize("kinds", [2, 10, 50])
def test_the_index_s_threshold_holds_for_any_number_of_rows(rows: int, kinds: int) -> None:
    draw = np.random.default_rng(kinds)
    shares = draw.dirichlet(np.ones(kinds))
    names = [f"label-{i}" for i in range(kinds)]
    found = []
    for week in range(200):
        before, now = (dict(zip(names, draw.multinomial(n, shares).tolist(), strict=True)) for n in (400, rows))
        shift = labels.compare(before, now, LEVEL.labels, week)
        found.append(shift is not None and shift.drifted)
    assert np.mean(found) <= LEVEL.labels + 3 * np.sqrt(LEVEL.labels / 200)


def test_a_mean_that_is_no_share_keeps_the_level_and_finds_a_drop() -> None:
    draw, shape = np.random.default_rng(3), mean(lower_is_better=True)

    def losses(centre: float, rows: int) -> Any:
        return np.stack([draw.gamma(2.0, centre / 2, rows), np.ones(rows)], axis=1)

    def dropped(centre: float) -> bool:
        found = drops.compare(
            MetricName.LABEL_LOG_LOSS, shape, losses(0.5, 300), losses(centre, 200), level=LEVEL.metric, seed=1
        )
        return found is not None and found.dropped

    assert np.mean([dropped(0.5) for _ in range(60)]) <= ALLOWED
    assert np.mean([dropped(0.75) for _ in range(20)]) >= 0.9
