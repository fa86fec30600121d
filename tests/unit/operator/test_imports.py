"""The operator starts without what only trainers need."""

import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def imported() -> set[str]:
    command = [sys.executable, "-X", "importtime", "-m", "attune_operator", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}


def environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path)}


def test_the_operator_is_what_was_started(imported: set[str]) -> None:
    assert {"attune_operator", "attune_contract", "kopf"} <= imported


@pytest.mark.parametrize("package", ["torch", "transformers", "peft", "boto3", "pyarrow", "attune_trainer"])
def test_the_operator_does_not_import(imported: set[str], package: str) -> None:
    assert package not in imported
