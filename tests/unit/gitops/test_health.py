"""What GitOps tools call our objects: Argo CD's Lua in a Lua 5.1, Flux's CEL, and kstatus, over recorded objects."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from attune_operator.api.conditions import Reason
from attune_operator.api.crds import KINDS
from attune_operator.timing import facts

ROOT = Path(__file__).parents[3]
ARGO, FLUX = ROOT / "docs" / "gitops" / "argocd", ROOT / "docs" / "gitops" / "flux" / "kustomization.yaml"
RECORDED: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("recorded.yaml").read_text())
NOT_IN_ARGO = ("string", "math", "io", "os", "debug", "coroutine", "require", "dofile", "loadfile", "python")
"""Argo CD opens only base, package and table for health checks (useOpenLibs is false)."""

recorded = pytest.mark.parametrize("case", RECORDED, ids=[case["id"] for case in RECORDED])


def lua_of(kind: str) -> str:
    data = yaml.safe_load((ARGO / f"{kind.lower()}.yaml").read_text())["data"]
    assert list(data) == [f"resource.customizations.health.attune.dev_{kind}"]
    return str(next(iter(data.values())))


def argo(found: dict[str, Any]) -> tuple[str, str]:
    lua51 = importlib.import_module("lupa.lua51")
    runtime = lua51.LuaRuntime(unpack_returned_tuples=True, register_eval=False)
    for name in NOT_IN_ARGO:
        runtime.globals()[name] = None
    runtime.globals()["obj"] = runtime.table_from(found, recursive=True)
    said = runtime.execute(lua_of(found["kind"]))
    return said["status"], said["message"]


def flux(found: dict[str, Any]) -> str:
    """observedGeneration, then inProgress, failed and current; what cannot be evaluated yet is asked again.

    Source: Flux RFC-0009, and fluxcd/pkg, runtime/cel, `StatusEvaluator.Evaluate`.
    """
    celpy = importlib.import_module("celpy")
    environment = celpy.Environment()
    if not _seen(found):
        return "InProgress"
    rules = yaml.safe_load(FLUX.read_text())["spec"]["healthCheckExprs"]
    rule = next(r for r in rules if r["kind"] == found["kind"])
    activation = {name: celpy.json_to_cel(value) for name, value in found.items()}
    for key, name in (("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current")):
        if key not in rule:
            continue
        try:
            if environment.program(environment.compile(rule[key])).evaluate(activation):
                return name
        except celpy.CELEvalError:
            return "asks again"
    return "InProgress"


def kstatus(found: dict[str, Any], *, reads_ready: bool = True) -> str:
    """observedGeneration, then the first of Reconciling and Stalled that is True, then Ready.

    Source: cli-utils, pkg/kstatus/status: `checkGenericProperties`, `Compute`, and the later `checkReadyCondition`.
    """
    if not _seen(found):
        return "InProgress"
    conditions = found.get("status", {}).get("conditions", ())
    for condition in conditions:
        if condition["status"] == "True" and condition["type"] in {"Reconciling", "Stalled"}:
            return "InProgress" if condition["type"] == "Reconciling" else "Failed"
    ready = next((c["status"] for c in conditions if c["type"] == "Ready"), "True")
    return "Current" if ready == "True" or not reads_ready else "InProgress"


def _seen(found: dict[str, Any]) -> bool:
    """Whether the status is about the spec as it is."""
    observed = found.get("status", {}).get("observedGeneration")
    return observed is None or observed == found["metadata"]["generation"]


@recorded
def test_argo_cd(case: dict[str, Any]) -> None:
    status, message = argo(case["object"])
    assert status == case["argo"]
    if "message" in case:
        assert message == case["message"]


@recorded
def test_flux(case: dict[str, Any]) -> None:
    assert flux(case["object"]) == case["flux"]


@recorded
def test_kstatus(case: dict[str, Any]) -> None:
    assert kstatus(case["object"]) == case["kstatus"]
    assert kstatus(case["object"], reads_ready=False) == case["kstatus"], "releases that do not know Ready agree"


def test_every_kind_has_a_check_and_is_recorded() -> None:
    kinds = {kind.kind for kind in KINDS}
    rules = yaml.safe_load(FLUX.read_text())["spec"]["healthCheckExprs"]
    assert {p.stem for p in ARGO.iterdir()} == {kind.lower() for kind in kinds}
    assert {rule["kind"] for rule in rules} == kinds
    assert {case["object"]["kind"] for case in RECORDED} == kinds


def test_recorded_reasons_are_the_operator_s() -> None:
    used = {c["reason"] for case in RECORDED for c in case["object"].get("status", {}).get("conditions", ())}
    assert used <= {reason.value for reason in Reason}


@pytest.mark.parametrize("kind", ["FineTuneSchedule", "ClusterFineTuneSchedule", "TunedModel"])
@pytest.mark.parametrize(
    ("stalled", "working", "argo_cd", "fluxes"),
    [
        (False, False, "Healthy", "Current"),
        (True, False, "Degraded", "Failed"),
        (False, True, "Progressing", "InProgress"),
    ],
    ids=["kept", "stalled", "working"],
)
def test_whatever_the_operator_writes_is_read_alike(
    kind: str, stalled: bool, working: bool, argo_cd: str, fluxes: str
) -> None:
    state = facts.State("Any", "A sentence.", stalled=stalled, working=working)
    written = [c.model_dump(mode="json") for c in facts.conditions(state, (), 1, "2026-11-22T03:00:00Z")]
    status = {"observedGeneration": 1, "message": "A sentence.", "conditions": json.loads(json.dumps(written))}
    found = {"kind": kind, "metadata": {"generation": 1}, "spec": {}, "status": status}
    assert argo(found) == (argo_cd, "A sentence.")
    assert flux(found) == kstatus(found) == fluxes
