"""What applications read: the ConfigMap and the flag."""

import json
from typing import Any

import pytest

from attune_operator.tunedmodel.hand_over import config_map, flags
from retraining import Model, tuned_model


def handed(model: Model) -> tuple[dict[str, str], dict[str, Any]]:
    decision = model.step()
    made = config_map(tuned_model(model.status, **model.spec), decision.standing)
    return made["data"], json.loads(made["data"]["flags.json"])["flags"]["router"]


def test_without_a_version_the_flag_says_base() -> None:
    data, flag = handed(Model())
    assert set(data) == {"flags.json"}
    assert (flag["state"], flag["defaultVariant"], set(flag["variants"])) == ("ENABLED", "base", {"base"})


def test_the_champion_is_handed_over_with_its_digest() -> None:
    model = Model()
    model.run(1)
    data, flag = handed(model)
    uri = "s3://models/out/runs/00000001-0000-4000-8000-000000000000/model"
    assert (data["champion.uri"], data["champion.version"], data["base.uri"]) == (uri, "1", "s3://models/base")
    assert data["champion.digest"] == f"sha256:{1:064x}"
    assert flag["defaultVariant"] == "champion"
    assert flag["variants"]["champion"]["uri"] == uri
    name = "router-00000001"
    assert (data["champion.servedName"], flag["variants"]["champion"]["servedName"]) == (name, name)
    assert "targeting" not in flag


def challenged(**rollout: Any) -> Model:
    model = Model(promotion="Manual", promote=1, rollout=rollout)
    model.run(1)
    model.run(2)
    return model


@pytest.mark.parametrize("percent", [1, 10, 100])
def test_a_challenger_gets_its_part_of_the_traffic_by_one_property(percent: int) -> None:
    data, flag = handed(challenged(challengerPercent=percent, stickyBy="userID"))
    assert data["challenger.version"] == "2"
    assert data["challenger.servedName"] == flag["variants"]["challenger"]["servedName"] == "router-00000002"
    condition, split, otherwise = flag["targeting"]["if"]
    assert condition == {"!!": [{"var": "userID"}]}
    by, *parts = split["fractional"]
    assert by == {"cat": [{"var": "$flagd.flagKey"}, {"var": "userID"}]}
    assert parts == [["champion", 100 - percent], ["challenger", percent]]
    assert sum(weight for _, weight in parts) == 100
    assert otherwise == "champion"
    assert {name for name, _ in parts} <= set(flag["variants"])


def test_a_challenger_without_a_part_gets_no_traffic() -> None:
    _, flag = handed(challenged())
    assert "targeting" not in flag


def test_under_a_rollback_only_the_champion_is_served() -> None:
    model = challenged(challengerPercent=10)
    model.spec["rollbackTo"] = 1
    _, flag = handed(model)
    assert "targeting" not in flag


def test_the_config_map_belongs_to_the_tuned_model() -> None:
    model = Model()
    decision = model.step()
    made = config_map(tuned_model(model.status), decision.standing)
    assert made["metadata"]["name"] == "router-tunedmodel"
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["controller"]) == ("TunedModel", "router", True)


def test_the_same_standing_gives_the_same_bytes() -> None:
    model = challenged(challengerPercent=10)
    decision = model.step()
    made = tuned_model(model.status, **model.spec)
    assert json.dumps(flags(made, decision.standing)) == json.dumps(flags(made, model.step().standing))
