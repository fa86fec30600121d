"""The tables in `api_tables/`: read by the unit tests of the API and by the tests of the API server's admission."""

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

JSON = dict[str, Any]
_HERE = Path(__file__).parent / "api_tables"


@dataclass(frozen=True)
class Case:
    name: str
    kind: str
    spec: JSON
    field: str
    says: str


def load(name: str) -> JSON:
    table: JSON = yaml.safe_load((_HERE / name).read_text(encoding="utf-8"))
    return table


def valid(kind: str) -> JSON:
    spec: JSON = copy.deepcopy(load(f"{kind.lower()}s.yaml")["valid"])
    return spec


def cases(kind: str) -> list[Case]:
    return [
        Case(row["name"], kind, changed(valid(kind), row["change"]), row["field"], row.get("says", ""))
        for row in load(f"{kind.lower()}s.yaml")["invalid"]
    ]


def changed(spec: JSON, change: JSON) -> JSON:
    return {key: value for key, value in {**spec, **change}.items() if value is not None}


def resource(kind: str, spec: JSON, name: str = "x", namespace: str | None = None) -> JSON:
    where = {"namespace": namespace} if namespace else {}
    return {"apiVersion": "attune.dev/v1alpha1", "kind": kind, "metadata": {"name": name, **where}, "spec": spec}
