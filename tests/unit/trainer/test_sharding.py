"""Models and checkpoints in parts: taken by some processes, put together again by any number of others."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import survival_factories as survival
import trainer_factories as make
from attune_trainer.checkpointing import store
from attune_trainer.distributed import Process
from attune_trainer.errors import DigestMismatchError, InvalidConfigurationError, StoreUnreachableError

WORKER = Path(__file__).parents[2] / "support" / "sharded_worker.py"


def train(folder: Path, number: int, *before: Path) -> Path:
    """So many processes train up to step 3, which some may have done before, and on to step 5."""
    folder.mkdir()
    started = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={number}"]
    done = subprocess.run(
        [*started, str(WORKER), str(folder), "3,5", *map(str, before)],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def whole(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(folder / "whole.safetensors"))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left, uninterrupted."""
    return train(tmp_path_factory.mktemp("sharded") / "two", 2)


@pytest.fixture
def of_two(two: Path) -> Path:
    """Their state after three steps."""
    return two / "3" / "state"


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 4])
def test_another_number_of_processes_goes_on_from_the_shards_of_two(
    tmp_path: Path, two: Path, of_two: Path, number: int
) -> None:
    import torch

    again = train(tmp_path / "again", number, of_two)
    taken, expected = whole(again / "3"), whole(two / "3")

    assert set(taken) == set(expected)
    assert any(name.endswith("exp_avg_sq") for name in expected)
    for name, tensor in expected.items():
        assert torch.equal(taken[name], tensor), name
    found = whole(again / "5")
    for name, tensor in whole(two / "5").items():
        assert torch.allclose(found[name], tensor, atol=1e-6), name
    assert (again / "5" / "state" / "shards").is_dir() is (number > 1)
    losses = [float((folder / "5" / "loss").read_text()) for folder in (again, two)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


@pytest.mark.slow
def test_several_go_on_from_what_one_process_left_whole(tmp_path: Path) -> None:
    import torch

    alone = train(tmp_path / "alone", 1)
    again = train(tmp_path / "again", 2, alone / "3" / "state")
    taken = whole(again / "3")

    for name, tensor in whole(alone / "3").items():
        assert torch.equal(taken[name], tensor), name
    found = whole(again / "5")
    for name, tensor in whole(alone / "5").items():
        assert torch.allclose(found[name], tensor, atol=1e-6), name


@pytest.mark.slow
def test_shards_are_safetensors_and_json_and_none_has_a_whole_layer(of_two: Path) -> None:
    from safetensors.torch import load_file

    shards = [load_file(of_two / "shards" / f"{rank}.safetensors") for rank in (0, 1)]
    assert {file.suffix for file in of_two.rglob("*") if file.is_file()} == {".safetensors", ".json"}
    for name, tensor in whole(of_two.parent).items():
        if tensor.dim() == 2:
            kept = f"weights/{name}" if not name.startswith("optimizer/") else name
            assert sum(len(shard[kept]) for shard in shards) == len(tensor)
            assert all(len(shard[kept]) < len(tensor) for shard in shards)


@pytest.mark.slow
def test_a_spread_model_is_saved_as_any_other(two: Path) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    saved = two / "saved"
    model = AutoModelForCausalLM.from_pretrained(saved)
    expected = whole(two / "5")

    assert json.loads((saved / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
    assert "lm_head.weight" not in load_file(saved / "model.safetensors"), "weights that are shared are saved once"
    for name, weight in model.named_parameters():
        assert torch.equal(weight, expected[name]), name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        pytest.param(lambda shards: (shards / "1.safetensors").unlink(), "missing|another shape", id="a-shard-is-gone"),
        pytest.param(lambda shards: [file.unlink() for file in shards.iterdir()], "does not have", id="all-are"),
    ],
)
def test_a_state_that_lacks_shards_is_refused(tmp_path: Path, of_two: Path, damage: Any, says: str) -> None:
    import torch

    from attune_trainer.checkpointing.sharded import ShardedState

    state = tmp_path / "state"
    shutil.copytree(of_two, state)
    damage(state / "shards")
    model = torch.nn.Module()
    model.model = torch.nn.Module()
    model.model.embed_tokens = torch.nn.Embedding(19, 8)

    with pytest.raises(InvalidConfigurationError, match=says):
        ShardedState().put_weights(SimpleNamespace(model=model), state)


# Parts in the store

TOKEN = "0123abcd"


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    """What each of three processes has of a checkpoint, on its own disk."""
    folders = []
    for rank in range(3):
        folder = tmp_path / f"part-{rank}"
        (folder / "state" / "shards").mkdir(parents=True)
        (folder / "state" / "shards" / f"{rank}.safetensors").write_bytes(bytes([rank]) * (rank + 1))
        folders.append(folder)
    (folders[0] / "checkpoint.json").write_text('{"step": 7}')
    return folders


def part(rank: int, token: str = TOKEN) -> store.Part:
    return store.Part(rank, 3, token)


def joining(pause: Any = lambda _: None, token: str = TOKEN) -> store.Parts:
    return store.Parts(part(0, token), 5.0, pause)


def test_a_checkpoint_in_parts_is_complete_once_all_are_there(tmp_path: Path, parts: list[Path]) -> None:
    run = survival.run_files(tmp_path)
    late = iter([1, 2])

    def pause(_: float) -> None:
        assert not store.resumable(run), "it is not complete yet"
        rank = next(late)
        store.write_part(run, parts[rank], 7, part(rank))

    artifact = store.write(run, parts[0], 7, lambda: 1.0, joining(pause))
    found = store.fetch(run, 7, tmp_path / "fetched")

    assert found.artifact == artifact
    assert artifact.size_bytes == len('{"step": 7}') + 1 + 2 + 3
    assert run.exists(artifact), "nothing else is left in its folder"
    assert sorted(file.name for file in (found.folder / "state" / "shards").iterdir()) == [
        f"{rank}.safetensors" for rank in range(3)
    ]


@pytest.mark.parametrize("others", [[], [(1, TOKEN)], [(1, TOKEN), (2, "of an attempt before")]], ids=len)
def test_a_checkpoint_whose_parts_do_not_come_is_never_complete(
    tmp_path: Path, parts: list[Path], others: list[tuple[int, str]]
) -> None:
    run = survival.run_files(tmp_path)
    for rank, token in others:
        store.write_part(run, parts[rank], 7, part(rank, token))

    with pytest.raises(StoreUnreachableError, match=r"the parts of processes .*2 did not get there within 5 s"):
        store.write(run, parts[0], 7, lambda: 1.0, joining())
    assert not store.resumable(run)


def test_a_part_that_will_not_come_is_not_waited_for(tmp_path: Path, parts: list[Path]) -> None:
    run = survival.run_files(tmp_path)
    store.give_up_part(run, 7, part(2), "the disk is full")
    waits: list[float] = []

    with pytest.raises(StoreUnreachableError, match="the part of process 2: the disk is full"):
        store.write(run, parts[0], 7, lambda: 1.0, joining(waits.append))
    assert not waits
    assert not store.resumable(run)


def test_processes_that_nothing_connects_do_not_each_take_themselves_for_the_first() -> None:
    from attune_trainer.checkpointing.gang import Gang

    with pytest.raises(RuntimeError, match="2 processes train together, and nothing connects them"):
        Gang(Process(rank=1, world_size=2)).from_first("I am")


def test_a_part_that_is_damaged_later_is_found_out(tmp_path: Path, parts: list[Path]) -> None:
    run = survival.run_files(tmp_path)
    for rank in (1, 2):
        store.write_part(run, parts[rank], 7, part(rank))
    store.write(run, parts[0], 7, lambda: 1.0, joining())
    (make.run_folder(tmp_path) / "checkpoints" / "7" / "state" / "shards" / "2.safetensors").write_bytes(b"abc")

    with pytest.raises(DigestMismatchError, match=r"shards/2.safetensors is not as it was written"):
        store.fetch(run, 7, tmp_path / "fetched")


# Where in the data another number of processes goes on


def position(**changes: int) -> dict[str, int]:
    given = {"step": 5, "maxSteps": 9, "rows": 29, "microBatch": 4, "accumulation": 1, "processes": 2, "seed": 3}
    return {**given, **changes}


@pytest.mark.parametrize(
    ("own", "fits"),
    [
        pytest.param({}, True, id="the-same"),
        pytest.param({"processes": 1, "accumulation": 2}, True, id="one-process-does-it-all"),
        pytest.param({"processes": 4, "microBatch": 2}, True, id="four-share-it"),
        pytest.param({"processes": 1}, False, id="another-batch"),
        pytest.param({"microBatch": 2, "accumulation": 2}, False, id="divided-otherwise-by-another-image"),
        pytest.param({"rows": 30, "processes": 1, "accumulation": 2}, False, id="other-rows"),
        pytest.param({"seed": 4}, False, id="another-order"),
        pytest.param({"step": 6}, False, id="another-step"),
    ],
)
def test_which_trainings_go_on_at_the_same_place(tmp_path: Path, own: dict[str, int], fits: bool) -> None:
    from attune_trainer.checkpointing import state

    (tmp_path / state.SAMPLER).write_text(json.dumps(position()))
    given = position(**own)
    trainer = SimpleNamespace(
        state=SimpleNamespace(global_step=given["step"], max_steps=given["maxSteps"]),
        train_dataset=range(given["rows"]),
        args=SimpleNamespace(
            per_device_train_batch_size=given["microBatch"],
            gradient_accumulation_steps=given["accumulation"],
            world_size=given["processes"],
            data_seed=given["seed"],
        ),
    )
    if fits:
        state.demand_position(trainer, tmp_path)
    else:
        with pytest.raises(InvalidConfigurationError, match="position in the data"):
            state.demand_position(trainer, tmp_path)


@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize("rows", [24, 29, 31])
@pytest.mark.parametrize("number", [2, 4])
def test_each_step_learns_the_same_rows_as_with_one_process(rows: int, number: int, epoch: int) -> None:
    """As accelerate deals them out, in batches of 8."""
    from accelerate.data_loader import BatchSamplerShard, SeedableRandomSampler
    from torch.utils.data import BatchSampler

    from attune_trainer.methods.order import FillersLast

    micro = 8 // number
    missing = -rows % 8
    alone = SeedableRandomSampler(range(rows), data_seed=3)
    alone.set_epoch(epoch)
    expected = list(alone)
    order = FillersLast(range(rows + missing), missing, 3)
    dealt = []
    for rank in range(number):  # every process draws for itself
        order.set_epoch(epoch)
        dealt.append(list(BatchSamplerShard(BatchSampler(order, micro, drop_last=False), number, rank)))

    for step in range(-(-rows // 8)):
        learnt = sorted(row for rank in range(number) for row in dealt[rank][step] if row < rows)
        assert learnt == sorted(expected[step * 8 : step * 8 + 8])
