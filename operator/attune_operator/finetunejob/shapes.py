"""How large each stage is, and which of them a queue has a say in. Pure."""

from dataclasses import dataclass

from attune_contract.enums import Stage
from attune_operator.api.finetunejob import FineTuneJob
from attune_operator.settings import Settings


@dataclass(frozen=True)
class Shape:
    """How many pods a stage has, and what each asks for."""

    pods: int
    gpus: int
    cpu: str
    memory: str


def shape(run: FineTuneJob, stage: Stage, settings: Settings) -> Shape:
    """The size of a stage: training has the whole gang, evaluation and monitoring one pod of it, the others no GPU."""
    asked = run.spec.resources
    if stage in (Stage.PREFLIGHT, Stage.POLL):
        return Shape(1, 0, settings.preflight_cpu, settings.preflight_memory)
    if stage is Stage.PUBLISH:
        return Shape(1, 0, settings.preflight_cpu, asked.memory)
    return Shape(asked.nodes if stage is Stage.TRAIN else 1, asked.gpus_per_node, asked.cpu, asked.memory)


def queued(run: FineTuneJob, stage: Stage, settings: Settings) -> bool:
    """Whether a stage waits in spec.queue.

    Training, evaluation and monitoring do. Preflight and publish need half a core and no accelerator: data is checked
    at once, while the quota is somebody else's, and needs no flavour of a ClusterQueue.
    """
    if run.spec.queue is None:
        return False
    return settings.queue_all_stages or stage in (Stage.TRAIN, Stage.EVALUATE, Stage.MONITOR)
