"""What servers can load of what a run publishes, asked before anything is trained, and under which name. No I/O.

| server | whole model | adapter | rank of an adapter | classification head |
| --- | --- | --- | --- | --- |
| vLLM | yes | yes | up to `--max-lora-rank`, of its list | whole model only |
| KServe | yes, from `storageUri` | no: `storageUri` is one model | | yes |
| Ollama | yes | of some architectures, and not one trained over 4 bits | any | no: it generates text |
| transformers | yes | yes | any | yes |

Sources: vLLM, "LoRA adapters" (max_lora_rank, and its PEFT helper, which refuses `modules_to_save`: that is how the
head of a classifier is kept); KServe, "Deploy InferenceService with a model from S3", and `IsvcNameFmt` of its webhook;
Ollama, "Importing a model" (adapters that were trained over a quantised base are not for it). Whole models are asked
for under `Both`: servers take those, and the adapter is there for whoever loads it by hand.

Architectures are not asked about here: a FineTuneJob does not tell its model's, and servers learn new ones each month.
"""

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from attune_contract.enums import OutputFormat, TuningType
from attune_contract.spec import Workload


class Server(StrEnum):
    """What serves the model."""

    VLLM = "vLLM"
    """Loads adapters up to a rank (`--max-lora-rank`), or a whole model."""
    KSERVE = "KServe"
    """Loads a whole model from `storageUri`."""
    OLLAMA = "Ollama"
    """Loads a whole model, or an adapter by its Modelfile."""
    TRANSFORMERS = "transformers"
    """Loads whatever was published."""


VLLM_RANK = 16
"""vLLM's own default of `--max-lora-rank`."""
VLLM_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What `--max-lora-rank` may be; an adapter of a rank in between takes the next one."""
_LONGEST = 44  # with the tail 53: KServe adds `-predictor` for a Service, whose name has 63 characters at most
_TAIL = 8


class Refusal(NamedTuple):
    """Why a server cannot load what a run would publish."""

    path: str
    """The field of the FineTuneJob that stands in the way, such as `spec.tuning.rank`."""
    message: str
    """What is wrong, and what would do."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class _Asked(NamedTuple):
    work: Workload
    most: int | None

    @property
    def form(self) -> OutputFormat:
        return self.work.output.resolved_format(self.work.tuning.type)


def refusals(server: Server, max_rank: int | None, work: Workload) -> tuple[Refusal, ...]:
    """Everything that keeps a server from loading what a run would publish; empty where it can.

    Args:
        server: spec.serving.server of the TunedModel.
        max_rank: spec.serving.maxRank of it.
        work: the run's blocks.
    """
    return tuple(_RULES[server](_Asked(work, max_rank)))


def served_name(name: str, run_id: str) -> str:
    """The name under which servers have one version of a model: no other version has it.

    It is one that every server takes: lower-case letters, digits and hyphens, a letter first (KServe), 53 at most.

    Args:
        name: of the TunedModel, or of the run where it registers with none.
        run_id: of the run that published it.
    """
    head = re.sub(r"[^a-z0-9-]", "-", name.lower()).strip("-")
    head = head if head[:1].isalpha() else f"model-{head}"
    return f"{head[:_LONGEST].strip('-')}-{re.sub(r'[^a-z0-9]', '', run_id.lower())[:_TAIL]}"


def needed_rank(rank: int) -> int | None:
    """The smallest `--max-lora-rank` that takes an adapter of a rank; None where there is none."""
    return next((known for known in VLLM_RANKS if known >= rank), None)


def _vllm(asked: _Asked) -> Iterator[Refusal]:
    if asked.form is not OutputFormat.ADAPTER:
        return
    if asked.work.has_head:
        text = "vLLM loads no adapter that brings a classification head (modules_to_save); use Merged or Both."
        yield Refusal("spec.output.format", text)
    most, rank = asked.most or VLLM_RANK, asked.work.tuning.rank
    if rank <= most:
        return
    needed, whole = needed_rank(rank), "publish it as Merged or Both (spec.output.format)"
    if needed is None:
        ways = f"{whole}, for no vLLM loads adapters over {VLLM_RANKS[-1]}"
    else:
        ways = f"start it with --max-lora-rank {needed} and say maxRank: {needed} in spec.serving; or {whole}"
    text = f"vLLM loads adapters of rank {most} at most, and this is {rank}. Use {most} or less; or {ways}."
    yield Refusal("spec.tuning.rank", text)


def _kserve(asked: _Asked) -> Iterator[Refusal]:
    if asked.form is OutputFormat.ADAPTER:
        text = "KServe loads one whole model from storageUri, and an adapter is none; use Merged or Both."
        yield Refusal("spec.output.format", text)


def _ollama(asked: _Asked) -> Iterator[Refusal]:
    if asked.work.has_head:
        yield Refusal("spec.classification.style", "Ollama generates text and has no classification heads; use Token.")
    if asked.form is OutputFormat.ADAPTER and asked.work.tuning.type is TuningType.QLORA:
        text = (
            "Ollama puts adapters on its own quantised base, which is not the 4-bit one of QLoRA; use Merged or Both."
        )
        yield Refusal("spec.output.format", text)


def _transformers(_: _Asked) -> Iterator[Refusal]:
    yield from ()


_RULES: dict[Server, Callable[[_Asked], Iterator[Refusal]]] = {
    Server.VLLM: _vllm,
    Server.KSERVE: _kserve,
    Server.OLLAMA: _ollama,
    Server.TRANSFORMERS: _transformers,
}
