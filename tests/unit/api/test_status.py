import json
from typing import Any

import pytest

from attune_operator.api.finetunejob import FineTuneJob, FineTuneJobStatus
from tables import load, resource, valid

FULL: dict[str, Any] = load("status.yaml")


def read(status: dict[str, Any]) -> FineTuneJobStatus:
    run, found = FineTuneJob.parse({**resource("FineTuneJob", valid("FineTuneJob")), "status": status})
    assert found == ()
    return run.status


def test_what_is_written_and_read_again_is_the_same_to_the_byte() -> None:
    status = read(FULL)
    again = read(json.loads(json.dumps(status.dump())))
    assert again == status
    assert json.dumps(again.dump()) == json.dumps(status.dump())


def test_every_field_of_the_design_s_status_is_read_and_written() -> None:
    assert read(FULL).dump() == FULL


@pytest.mark.parametrize(
    "wire", ["runID", "reportURI", "modelURI", "manifestURI", "memoryPerGPU", "gpuHours", "etaSeconds"]
)
def test_names_on_the_wire_are_the_design_s(wire: str) -> None:
    assert f'"{wire}"' in json.dumps(read(FULL).dump())


def test_whole_numbers_that_the_api_server_shortens_do_not_look_like_a_change() -> None:
    short = {"progress": {**FULL["progress"], "epoch": 2, "loss": 1}}
    long = {"progress": {**FULL["progress"], "epoch": 2.0, "loss": 1.0}}
    assert read(short) == read(long)
