"""Ready-made manifests for servers, beside the published weights in `serving/`: what is there can be applied as it is.

Names carry the run, so that a server never sees other weights under a name that it knows: vLLM, Ollama and KServe keep
what they have loaded under a name for as long as they run.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from attune_contract import layout, uris
from attune_contract.enums import OutputFormat
from attune_contract.runconfig import RunConfig
from attune_contract.serving import VLLM_RANKS, Server, needed_rank, refusals, served_name
from attune_trainer.publishing import usage

FOLDER = Path(layout.SERVING).name
OLLAMA_ADAPTERS = frozenset({"LlamaForCausalLM", "MistralForCausalLM", "MixtralForCausalLM", "Gemma2ForCausalLM"})
"""Architectures whose adapters Ollama converts (its `ConvertAdapter`): those that it calls llama and gemma2."""


def write(config: RunConfig, labels: tuple[str, ...], base: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    """Fills `serving/` of a model's folder; a server that cannot load the model gets a note why instead.

    Args:
        config: the run.
        labels: of Classification, in the order of their numbers.
        base: the base model's config.json.
        folder: the model's.

    Returns:
        The files' names, sorted.
    """
    target = folder / FOLDER
    target.mkdir()
    made = {
        "vllm.yaml": _or_why(config, Server.VLLM, _vllm),
        "kserve.yaml": _or_why(config, Server.KSERVE, _kserve),
        "Modelfile": _or_why(config, Server.OLLAMA, lambda config: _modelfile(config, base)),
        "transformers_example.py": usage.code(config.workload, labels) + "\n",
        "README.md": _readme(config),
    }
    for name, text in made.items():
        (target / name).write_text(text, encoding="utf-8")
    return tuple(sorted(made))


def immutable_name(config: RunConfig) -> str:
    """The model's name for servers: the TunedModel's or the run's, and the run's id."""
    return served_name(config.workload.output.register_ or config.run.name, config.run.id)


def _or_why(config: RunConfig, server: Server, make: Callable[[RunConfig], str]) -> str:
    most = needed_rank(config.workload.tuning.rank) or VLLM_RANKS[-1]  # as it must be started for this adapter
    found = refusals(server, most, config.workload)
    if found:
        return "".join(f"# {server} cannot load this model. {refusal}\n" for refusal in found)
    return make(config)


def _form(config: RunConfig) -> OutputFormat:
    work = config.workload
    return work.output.resolved_format(work.tuning.type)


def _uri(config: RunConfig) -> str:
    return uris.join(config.run_uri, layout.MODEL)


def _base(config: RunConfig) -> str:
    """The base as servers write it: the Hub's models without `hf://`."""
    return config.workload.model.source.removeprefix("hf://").partition("@")[0]


def _vllm(config: RunConfig) -> str:
    name, adapter = immutable_name(config), _form(config) is OutputFormat.ADAPTER
    volumes = {"base": config.workload.model.source} if adapter else {}
    volumes["model"] = _uri(config)
    copies = "".join(f"#   {source}  in PersistentVolumeClaim {name}-{volume}\n" for volume, source in volumes.items())
    head = f"# vLLM with {name}. Pin the image to a release. It reads from volumes; copy first:\n{copies}"
    call = f'# Ask for it by name: curl .../v1/completions -d \'{{"model": "{name}", "prompt": "..."}}\'\n'
    selector = {"app.kubernetes.io/name": name}
    template = {"metadata": {"labels": selector}, "spec": _vllm_pod(name, _vllm_arguments(config), list(volumes))}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": _labels(config)},
        "spec": {"replicas": 1, "selector": {"matchLabels": selector}, "template": template},
    }
    return head + call + _yaml(deployment)


def _vllm_arguments(config: RunConfig) -> list[str]:
    name, head = immutable_name(config), ["--runner=pooling"] if config.workload.has_head else []
    if _form(config) is not OutputFormat.ADAPTER:
        return ["--model=/mnt/model", f"--served-model-name={name}", *head]
    rank = needed_rank(config.workload.tuning.rank)
    return ["--model=/mnt/base", "--enable-lora", f"--max-lora-rank={rank}", f"--lora-modules={name}=/mnt/model", *head]


def _vllm_pod(name: str, arguments: list[str], volumes: list[str]) -> dict[str, Any]:
    container = {
        "name": "vllm",
        "image": "vllm/vllm-openai:latest",
        "args": arguments,
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}},
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "volumeMounts": [{"name": v, "mountPath": f"/mnt/{v}", "readOnly": True} for v in volumes],
    }
    claims = [{"name": v, "persistentVolumeClaim": {"claimName": f"{name}-{v}"}} for v in volumes]
    return {"containers": [container], "volumes": claims}


def _kserve(config: RunConfig) -> str:
    name = immutable_name(config)
    task = ["--task=sequence_classification"] if config.workload.has_head else []
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "labels": _labels(config)},
        "spec": {
            "predictor": {
                "model": {
                    "modelFormat": {"name": "huggingface"},
                    "args": [f"--model_name={name}", "--model_dir=/mnt/models", *task],
                    "storageUri": _uri(config),
                    "resources": {"limits": {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}},
                },
            }
        },
    }
    head = f"# KServe with {name}. It reads {_uri(config)}: name a serviceAccountName that has the keys.\n"
    return head + _yaml(service)


def _modelfile(config: RunConfig, base: Mapping[str, Any]) -> str:
    """Paths are relative to the Modelfile, so it works wherever the folder was copied to."""
    name = immutable_name(config)
    lines = [f"# ollama create {name} -f Modelfile"]
    if _form(config) is OutputFormat.ADAPTER:
        lines += [
            *_doubts(base),
            f"# FROM must be the very model that the adapter was trained on, as safetensors: {_base(config)}",
            "FROM ../../base",
            "ADAPTER ..",
        ]
    else:
        lines.append("FROM ..")
    return "\n".join([*lines, "PARAMETER temperature 0", ""])


def _doubts(base: Mapping[str, Any]) -> list[str]:
    """A comment on an adapter over an architecture that Ollama did not know when this was written."""
    kinds = base.get("architectures") or ["(unknown)"]
    if OLLAMA_ADAPTERS.intersection(kinds):
        return []
    return [
        f"# Ollama makes adapters of Llama, Mistral and Gemma 2, and this one's base is {', '.join(map(str, kinds))}.",
        '# If it says "unsupported architecture", publish the whole model: Merged or Both (spec.output.format).',
    ]


def _labels(config: RunConfig) -> dict[str, str]:
    return {"app.kubernetes.io/managed-by": "you", "attune.dev/run": config.run.id}


def _yaml(document: dict[str, Any]) -> str:
    return str(yaml.safe_dump(document, sort_keys=False, width=120))


def _readme(config: RunConfig) -> str:
    form = _form(config).value
    return f"""\
# Serving {immutable_name(config)}

This folder is beside the weights ({form}) at {_uri(config)}. Each file is complete, or says why its server cannot load
the model.

| file | server |
| --- | --- |
| vllm.yaml | vLLM on Kubernetes, OpenAI's API |
| kserve.yaml | KServe InferenceService |
| Modelfile | Ollama |
| transformers_example.py | transformers, in your own process |

The name is this version's alone. Another version gets another one, so no server mixes up what it has loaded.
"""
