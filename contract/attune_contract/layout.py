"""Where a run keeps things in the object store, relative to `<output.uri>/runs/<run id>/`."""

from attune_contract import uris

COMPLETE = "COMPLETE"
"""Written last into a checkpoint; a checkpoint without it does not exist."""
TRAIN_DATA = "data/train.parquet"
VALIDATION_DATA = "data/validation.parquet"
TEST_DATA = "data/test.parquet"
GENERAL_DATA = "data/general.parquet"
"""General text of spec.evaluation.forgetting."""
JUDGEMENTS = {".jsonl": "data/judgements.jsonl", ".csv": "data/judgements.csv"}
"""What people said of answers (HumanPreference), as it was given, by the kind of file."""
CHECKPOINTS = "checkpoints"
CHECKPOINT_DESCRIPTION = "checkpoint.json"
"""In a checkpoint: what it was made from, such as step, tokens, and digests of configuration, data and model."""
CHECKPOINT_STATE = "state"
"""In a checkpoint: the folder of what training needs, beside the weights, to go on exactly."""
MODEL = "model"
VALIDATION_REPORT = "reports/validation.json"
VALIDATION_PAGE = "reports/validation.html"
TRAINING_REPORT = "reports/training.json"
SCORES = "scores"
"""Each model's scores of the held-out rows, for another attempt at the evaluation."""
EVALUATION_REPORT = "reports/evaluation.json"
EVALUATION_PAGE = "reports/evaluation.html"
PREDICTIONS = "reports/predictions.jsonl"
MANIFEST = "manifest.json"
SERVING = "model/serving"
"""Manifests for servers, beside the weights."""
MONITORING_REPORT = "reports/monitoring.json"
"""The looks at a TunedModel, the last one first, below a prefix of its own."""


def run_uri(output_uri: str, run_id: str) -> str:
    """The prefix below which a run writes, and outside of which it never does."""
    return uris.join(output_uri, "runs", run_id)


def result_path(stage: str) -> str:
    """Where a stage leaves its complete Outcome: a repeated attempt reports it again instead of working again."""
    return f"results/{stage.lower()}.json"


def attempt_log(stage: str, attempt: int, node: int | None = None) -> str:
    """The log of an attempt that did not succeed, secrets masked; in a gang, that of one node."""
    return f"reports/attempts/{_attempt(stage, attempt, node)}.log"


def attempt_stacks(stage: str, attempt: int, node: int | None = None) -> str:
    """Where each process of an attempt that stalled stood: a stack trace of all its threads; in a gang, on one node."""
    return f"reports/attempts/{_attempt(stage, attempt, node)}.stacks.txt"


def _attempt(stage: str, attempt: int, node: int | None) -> str:
    return f"{stage.lower()}-{attempt}" + ("" if node is None else f"-{node}")


def checkpoint_path(step: int) -> str:
    """The folder of the checkpoint taken after `step` optimizer steps."""
    return f"{CHECKPOINTS}/{step}"
