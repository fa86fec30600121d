"""What the Poll stage says of training data: the same for the same data, another for any other."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import trainer_factories as make
from attune_contract.datafacts import DataFacts
from attune_contract.enums import Stage
from attune_trainer.storage.file import FileStore


def polled(folder: Path, train: list[str], known: dict[str, Any] | None = None) -> DataFacts:
    made = {**make.document(folder, dataset={"train": train}), **({"knownData": known} if known else {})}
    outcome, code = make.run_stage(made, Stage.POLL)
    assert code == 0, outcome.message
    assert outcome.data is not None
    return outcome.data


def test_rows_of_every_kind_of_file_are_counted(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    data = tmp_path / "data"
    rows: list[dict[str, Any]] = make.colour_rows()
    make.write_jsonl(data / "a.jsonl", rows)
    (data / "b.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "x"}\n\n{"prompt": "y"}\nbroken'))
    (data / "c.csv").write_text("prompt,completion\nx,y\n")
    (data / "d.json").write_text(json.dumps(rows[:4]))
    parquet.write_table(pa.Table.from_pylist(rows[:5]), data / "e.parquet")
    (data / "_SUCCESS").write_text("")
    found = polled(tmp_path, [f"file://{data}/", f"file://{data}/a.jsonl"])
    assert (found.objects, found.rows) == (5, 32 + 3 + 1 + 4 + 5)
    assert found.size_bytes == sum(p.stat().st_size for p in data.iterdir())


def test_the_digest_follows_the_objects_and_nothing_else(tmp_path: Path) -> None:
    data = tmp_path / "data"
    make.write_jsonl(data / "a.jsonl", make.colour_rows())
    uris = [f"file://{data}/"]
    first = polled(tmp_path, uris)
    assert polled(tmp_path, [f"file://{data}/a.jsonl"]) == first
    make.write_jsonl(data / "b.jsonl", [])
    assert polled(tmp_path, uris).digest != first.digest
    (data / "b.jsonl").unlink()
    assert polled(tmp_path, uris) == first
    make.write_jsonl(data / "a.jsonl", make.colour_rows()[:-1])
    assert polled(tmp_path, uris).digest != first.digest


def test_data_that_is_known_is_listed_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    make.write_jsonl(data / "a.jsonl", make.colour_rows())
    first = polled(tmp_path, [f"file://{data}/"])
    known = {"digest": first.digest, "rows": first.rows}
    with monkeypatch.context() as patched:
        patched.setattr(FileStore, "open", None)
        patched.setattr(FileStore, "get", None)
        assert polled(tmp_path, [f"file://{data}/"], known) == first
    make.write_jsonl(data / "b.jsonl", make.colour_rows()[:3])
    assert polled(tmp_path, [f"file://{data}/"], known).rows == first.rows + 3


@pytest.mark.parametrize("named", ["a.jsonl", "empty/"])
def test_data_that_is_not_there_is_told(tmp_path: Path, named: str) -> None:
    (tmp_path / "data").mkdir()
    made = make.document(tmp_path, dataset={"train": [f"file://{tmp_path}/data/{named}"]})
    outcome, code = make.run_stage(made, Stage.POLL)
    assert code == 10
    assert "spec.dataset.train[0]" in outcome.message
