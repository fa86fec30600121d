from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from attune_contract.enums import ExitCode
from attune_operator import generate
from attune_operator.api.clusterfinetuneschedule import ClusterFineTuneSchedule
from attune_operator.api.conditions import ConditionType, Reason
from attune_operator.api.crds import (
    CLUSTERFINETUNESCHEDULE,
    FINETUNEJOB,
    FINETUNESCHEDULE,
    KINDS,
    TUNEDMODEL,
    TUNINGRUNTIME,
    Kind,
    crd,
    openapi,
)
from attune_operator.api.docstrings import members
from attune_operator.api.enums import AttemptState, Phase
from attune_operator.api.finetunejob import FineTuneJob
from attune_operator.api.finetuneschedule import FineTuneSchedule
from attune_operator.api.rules import Rule
from attune_operator.api.schema import with_rules
from attune_operator.api.tunedmodel import TunedModel
from attune_operator.api.tuningruntime import TuningRuntime
from tables import load, resource, valid

ROOT = Path(__file__).parents[3]
NAMES = [kind.kind for kind in KINDS]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every named field of a schema."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from nodes(child, f"{path}.{name}")
    for inner in (schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict):
            yield from nodes(inner, f"{path}[]")


def defaulted(schema: dict[str, Any], value: Any) -> Any:
    """What the API server's defaulting makes of a value (it goes into what it just defaulted)."""
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        filled = {**{k: f["default"] for k, f in fields.items() if "default" in f}, **value}
        return {k: defaulted(fields.get(k, {}), v) for k, v in filled.items()}
    if isinstance(value, list):
        return [defaulted(schema.get("items", {}), v) for v in value]
    return value


def test_generated_files_are_up_to_date() -> None:
    assert generate.drift(ROOT) == [], "run `make generate`"


def test_a_stale_file_is_found_and_mended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--root", str(tmp_path)]) == 0
    assert generate.main(["--check", "--root", str(tmp_path)]) == 0
    page = tmp_path / "crds" / "finetunejobs.yaml"
    page.write_text(page.read_text(encoding="utf-8").replace("maximum: 1024", "maximum: 1025"), encoding="utf-8")
    capsys.readouterr()
    assert generate.main(["--check", "--root", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "-        maximum: 1025".replace(" ", "") in printed.out.replace(" ", "")
    assert "make generate" in printed.err
    assert generate.write(tmp_path) == ["crds/finetunejobs.yaml"]


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_every_field_has_a_description(kind: Kind) -> None:
    fields = [
        path for path, node in nodes(openapi(kind)) if path != ".metadata" and not node.get("description", "").strip()
    ]
    assert fields == []


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_schemas_have_nothing_that_structural_schemas_forbid(kind: Kind) -> None:
    forbidden = {"$ref", "title", "const", "prefixItems", "propertyNames", "nullable", "allOf", "oneOf"}
    for path, node in nodes(openapi(kind)):
        assert not forbidden & node.keys(), path
        assert node.get("type") or node.get("x-kubernetes-int-or-string"), path
        assert node.get("additionalProperties") is not False, path
        assert isinstance(node.get("exclusiveMinimum", True), bool), path


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_every_list_map_and_text_of_a_spec_that_rules_walk_is_bounded(kind: Kind) -> None:
    for path, node in nodes(openapi(kind)["properties"]["spec"], "spec"):
        if node.get("type") == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path
        if node.get("type") == "string" and "enum" not in node:
            assert "maxLength" in node, path


@pytest.mark.parametrize(
    ("kind", "parse"),
    [
        (FINETUNEJOB, FineTuneJob.parse),
        (TUNINGRUNTIME, TuningRuntime.parse),
        (FINETUNESCHEDULE, FineTuneSchedule.parse),
        (CLUSTERFINETUNESCHEDULE, ClusterFineTuneSchedule.parse),
        (TUNEDMODEL, TunedModel.parse),
    ],
    ids=NAMES,
)
def test_the_operator_and_the_api_server_have_the_same_defaults(kind: Kind, parse: Any) -> None:
    bare = valid(kind.kind)
    here, _ = parse(resource(kind.kind, bare))
    there, found = parse(resource(kind.kind, defaulted(openapi(kind)["properties"]["spec"], bare)))
    assert found == ()
    assert here.spec == there.spec
    assert here.spec.model_dump(mode="json", exclude_none=True) == defaulted(openapi(kind)["properties"]["spec"], bare)


def test_the_status_of_a_finetunejob_has_every_field_of_the_design() -> None:
    found = dict(nodes(openapi(FINETUNEJOB)["properties"]["status"]))
    fields = {path.replace("[]", "") for path in found}
    maps = {path.replace("[]", "") for path, node in found.items() if "additionalProperties" in node}

    def paths(value: Any, path: str = "") -> Iterator[str]:
        for key, inner in value.items() if isinstance(value, dict) and path not in maps else ():
            yield f"{path}.{key}"
            yield from paths(inner[0] if isinstance(inner, list) else inner, f"{path}.{key}")

    assert set(paths(load("status.yaml"))) <= fields


@pytest.mark.parametrize(
    ("kind", "scope", "short", "columns"),
    [
        (
            FINETUNEJOB,
            "Namespaced",
            "ftj",
            ["Phase", "Method", "Model", "Progress", "ETA", "Loss", "Score", "Verdict", "Cost", "Age"],
        ),
        (TUNINGRUNTIME, "Cluster", "ftr", ["Image", "Accelerator", "Price", "Age"]),
        (
            FINETUNESCHEDULE,
            "Namespaced",
            "fts",
            ["Cron", "Suspend", "Active", "Last", "Trigger", "Next", "Spent", "Ready", "Age"],
        ),
        (
            CLUSTERFINETUNESCHEDULE,
            "Cluster",
            "cfts",
            ["Cron", "Suspend", "Total", "Done", "Running", "Failed", "Skipped", "Next", "Age"],
        ),
        (
            TUNEDMODEL,
            "Namespaced",
            "tm",
            ["Champion", "Score", "Challenger", "Promotion", "Drift", "Ready", "Age"],
        ),
    ],
    ids=NAMES,
)
def test_names_and_columns_are_the_design_s(kind: Kind, scope: str, short: str, columns: list[str]) -> None:
    made = crd(kind)["spec"]
    shown = [c["name"] for c in made["versions"][0]["additionalPrinterColumns"] if not c.get("priority")]
    assert (made["scope"], made["names"]["shortNames"], made["names"]["categories"]) == (scope, [short], ["attune"])
    assert shown == columns


@pytest.mark.parametrize("kind", KINDS, ids=NAMES)
def test_columns_point_at_fields(kind: Kind) -> None:
    fields = {path for path, _ in nodes(openapi(kind))} | {".metadata.creationTimestamp"}
    fields |= {f'.status.conditions[?(@.type=="{c}")].status' for c in ConditionType}
    assert {c.path for c in kind.columns} <= fields


def test_a_rule_about_a_field_that_is_not_there_cannot_be_generated() -> None:
    with pytest.raises(KeyError):
        with_rules(openapi(TUNINGRUNTIME), (Rule("spec.nowhere", "true", ""),))


@pytest.mark.parametrize(
    "kind", [ConditionType, Reason, Phase, AttemptState, ExitCode], ids=lambda kind: str(kind.__name__)
)
def test_every_word_is_documented(kind: type[Enum]) -> None:
    assert list(members(kind)) == [str(m.value) for m in kind]
    assert all(len(text.split()) > 1 and text.endswith((".", ")")) for text in members(kind).values())


def test_a_word_without_its_sentence_cannot_be_generated() -> None:
    with pytest.raises(ValueError, match="BARE has no docstring"):
        members(_Undocumented)


class _Undocumented(Enum):
    BARE = "Bare"


@pytest.mark.parametrize("word", [*ConditionType, *Reason, *Phase], ids=str)
def test_every_word_is_in_the_reference(word: str) -> None:
    assert f"| `{word}` |" in (ROOT / "docs/reference/conditions.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "reason"), [("InvalidData", Reason.INVALID_DATA), ("Novel", Reason.POD_FAILED), ("", Reason.POD_FAILED)]
)
def test_an_unknown_reason_is_not_an_error(text: str, reason: Reason) -> None:
    assert Reason.of(text, Reason.POD_FAILED) is reason
