"""The Hub's errors become ours; nothing here asks the network."""

from pathlib import Path
from typing import Any

import httpx
import huggingface_hub
import pytest
from huggingface_hub import errors

import trainer_factories as make
from attune_contract.spec import Workload
from attune_trainer import hub
from attune_trainer.errors import AccessDeniedError, ModelNotFoundError, StageError, StoreUnreachableError

ANSWER = httpx.Response(404, request=httpx.Request("GET", "https://hub.invalid/api"))


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        pytest.param(errors.RepositoryNotFoundError("x", response=ANSWER), ModelNotFoundError, id="no-model"),
        pytest.param(errors.RevisionNotFoundError("x", response=ANSWER), ModelNotFoundError, id="no-revision"),
        pytest.param(errors.GatedRepoError("x", response=ANSWER), AccessDeniedError, id="gated"),
        pytest.param(errors.HfHubHTTPError("x", response=ANSWER), StoreUnreachableError, id="server-error"),
        pytest.param(httpx.ConnectError("x"), StoreUnreachableError, id="no-network"),
    ],
)
def test_errors_are_translated(error: Exception, ours: type[StageError]) -> None:
    with pytest.raises(ours, match=r"spec\.model\.source: hf://org/name@main"), hub._translated("org/name", "main"):
        raise error


def test_what_comes_from_the_hub_is_a_sign_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: Any, tqdm_class: Any, **__: Any) -> None:
        with tqdm_class(total=2, disable=True) as bar:
            bar.update(1)
            bar.update(1)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    beats: list[int] = []
    hub.download("org/name", "commit", [], tmp_path, None, beat=lambda: beats.append(1))

    assert len(beats) == 2


@pytest.mark.parametrize(
    ("source", "champion", "offline"),
    [
        pytest.param("s3://models/base", "s3://models/old", "1", id="store"),
        pytest.param("file:///x", None, "1", id="folder"),
        pytest.param("hf://org/name@main", None, "0", id="base-of-the-hub"),
        pytest.param("s3://models/base", "hf://org/name@main", "0", id="baseline-of-the-hub"),
    ],
)
def test_the_network_is_used_only_for_models_of_the_hub(source: str, champion: str | None, offline: str) -> None:
    baselines = [{"name": "champion", "source": champion}] if champion else []
    blocks = make.workload(Path("/x"), model={"source": source}, evaluation={"baselines": baselines})
    environment: dict[str, str] = {}
    hub.prepare(environment, Workload.model_validate(blocks))

    assert environment["HF_HUB_OFFLINE"] == offline
    assert environment["HF_HUB_DISABLE_TELEMETRY"] == "1"
