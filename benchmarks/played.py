"""What played pods do: they run for a moment and end with a recorded Outcome, as real ones of each stage would. Pure.

kwok's Stages are YAML with Go templates; what differs from pod to pod (the run and the attempt) comes from its labels.
"""

import json
from collections.abc import Mapping
from typing import Any

from attune_contract.enums import RUN_STAGES, ExitCode, MetricName, OutcomeState, Stage
from attune_contract.outcome import Artifact, Estimate, MetricResult, Outcome, TrainingFigures, Validation

JSON = dict[str, Any]
_RUN, _ATTEMPT = "RUN-OF-THE-POD", 987654321
"""Stand-ins in the recorded Outcome."""
BAD = "bad"
"""FineTuneJobs whose names begin so end at preflight."""
_DIGEST = "sha256:" + "5" * 64
_TERMINATED = """\
{{ $now := Now }}
{{ $container := index .spec.containers 0 }}
{{ $before := index .status.containerStatuses 0 }}
containerStatuses:
- image: {{ $container.image | Quote }}
  imageID: ""
  name: {{ $container.name | Quote }}
  ready: false
  restartCount: 0
  started: false
  state:
    terminated:
      exitCode: 143
      finishedAt: {{ $now | Quote }}
      reason: Error
      startedAt: {{ $before.state.running.startedAt | Quote }}
phase: Failed
"""


def stages(run_for: Mapping[Stage, str], train_for: Mapping[str, str] | None = None) -> list[str]:
    """The Stages of kwok that end the pods of every stage of a run.

    Args:
        run_for: how long pods of a stage run, such as `200ms`.
        train_for: how long training takes instead for FineTuneJobs whose names hold a word.
    """
    special = {Stage.TRAIN: train_for or {}}
    ends = [_stage(stage, run_for[stage], special.get(stage, {})) for stage in RUN_STAGES]
    return [json.dumps(stage, indent=1) for stage in (*ends, _told_to_stop())]


def _told_to_stop() -> JSON:
    """A pod that is deleted while it runs ends by SIGTERM: the Job controller lets go only of pods that have ended."""
    match = [
        {"key": ".metadata.deletionTimestamp", "operator": "Exists"},
        {"key": ".status.phase", "operator": "In", "values": ["Running"]},
        {"key": '.metadata.labels["attune.dev/stage"]', "operator": "Exists"},
    ]
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": "pod-told-to-stop"},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {"matchExpressions": match},
            "weight": 1000,  # before kwok's own, which only deletes
            "next": {"statusTemplate": _TERMINATED},
        },
    }


def _stage(stage: Stage, usual: str, long_for: Mapping[str, str]) -> JSON:
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": f"pod-{stage.value.lower()}-done"},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {
                "matchExpressions": [
                    {"key": ".metadata.deletionTimestamp", "operator": "DoesNotExist"},
                    {"key": ".status.phase", "operator": "In", "values": ["Running"]},
                    {"key": '.metadata.labels["attune.dev/stage"]', "operator": "In", "values": [stage.value.lower()]},
                ]
            },
            "delay": {"durationFrom": {"jq": {"expression": _duration(usual, long_for)}}},
            "next": {"statusTemplate": _ended(stage)},
        },
    }


def _duration(usual: str, long_for: Mapping[str, str]) -> str:
    name = '(.metadata.annotations["attune.dev/finetunejob"] // "")'
    tests = [f'if ({name} | test("{word}")) then "{time}" else ' for word, time in long_for.items()]
    return "".join(tests) + f'"{usual}"' + " end" * len(tests)


def _ended(stage: Stage) -> str:
    done = _ends(outcome(stage), 0)
    if stage is not Stage.PREFLIGHT:
        return done
    bad = f'hasPrefix "{BAD}" (index .metadata.annotations "attune.dev/finetunejob")'
    return f"{{{{ if {bad} }}}}\n{_ends(refusal(), ExitCode.BAD_INPUT)}{{{{ else }}}}\n{done}{{{{ end }}}}\n"


def _ends(told: Outcome, code: int) -> str:
    said = json.dumps(told.dumps())  # a JSON string is a YAML string
    for stand_in, label in ((_RUN, "attune.dev/run"), (str(_ATTEMPT), "attune.dev/attempt")):
        said = said.replace(stand_in, f'{{{{ index .metadata.labels "{label}" }}}}')
    return f"""\
{{{{ $now := Now }}}}
{{{{ $container := index .spec.containers 0 }}}}
{{{{ $before := index .status.containerStatuses 0 }}}}
containerStatuses:
- image: {{{{ $container.image | Quote }}}}
  imageID: {{{{ printf "%s@{_DIGEST}" $container.image | Quote }}}}
  name: {{{{ $container.name | Quote }}}}
  ready: false
  restartCount: 0
  started: false
  state:
    terminated:
      exitCode: {code}
      finishedAt: {{{{ $now | Quote }}}}
      reason: {"Error" if code else "Completed"}
      startedAt: {{{{ $before.state.running.startedAt | Quote }}}}
      message: {said}
phase: {"Failed" if code else "Succeeded"}
"""


def refusal(run_id: str = _RUN, attempt: int = _ATTEMPT) -> Outcome:
    """How preflight ends of a FineTuneJob whose name begins with `bad`: its data cannot be used."""
    return Outcome(
        run_id=run_id,
        stage=Stage.PREFLIGHT,
        attempt=attempt,
        state=OutcomeState.FAILED,
        reason="InvalidData",
        message="8 of 861 rows have no answer; the report names them.",
    )


def outcome(stage: Stage, run_id: str = _RUN, attempt: int = _ATTEMPT) -> Outcome:
    """How a pod of a stage ends: like those of the example in the README, whose figures these are.

    Args:
        stage: of the run.
        run_id: the run's UID.
        attempt: its number.
    """
    said: dict[Stage, JSON] = {
        Stage.PREFLIGHT: {
            "message": "861 rows are good.",
            "validation": Validation(format="Chat", rows=861, train_rows=775, test_rows=86),
            "estimate": Estimate(steps=147, tokens=190_233, memory_per_gpu="9Gi"),
        },
        Stage.TRAIN: {
            "message": "147 steps, loss 0.42.",
            "training": TrainingFigures(
                steps=147,
                epochs=3.0,
                tokens=570_699,
                train_loss=0.42,
                seconds=20.0,
                parameters=494_032_768,
                trainable_parameters=8_798_208,
            ),
            "artifacts": (Artifact(path="model/", digest=_DIGEST, size_bytes=35_209_000, stage=Stage.TRAIN),),
        },
        Stage.EVALUATE: {
            "message": "Evaluated on 86 rows.",
            "evaluation": (
                MetricResult(metric=MetricName.ACCURACY, tuned=0.91, baseline="base", value=0.42, delta=0.49, rows=86),
            ),
        },
        Stage.PUBLISH: {
            "message": "Published.",
            "model_uri": f"s3://models/out/runs/{run_id}/model/",
            "manifest_uri": f"s3://models/out/runs/{run_id}/manifest.json",
            "digest": _DIGEST,
        },
    }
    return Outcome(run_id=run_id, stage=stage, attempt=attempt, state=OutcomeState.SUCCEEDED, **said[stage])
