"""The Hub's errors become ours; nothing here asks the network."""

from pathlib import Path

import httpx
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
