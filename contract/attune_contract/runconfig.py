"""RunConfig: the JSON file that a pod is started with. Never a secret in it.

It is mounted at `RUN_CONFIG_PATH`; on a laptop `--config FILE` names it. Credentials are mounted beside it as files.
"""

from typing import Annotated, Literal

from pydantic import Field

from attune_contract import VERSION, layout
from attune_contract.base import Frozen
from attune_contract.datafacts import KnownData
from attune_contract.enums import Role, Stage
from attune_contract.monitoring import Look
from attune_contract.outcome import Artifact
from attune_contract.quantities import Money, Quantity, seconds
from attune_contract.spec import Budget, Checkpoint, Workload

RUN_CONFIG_PATH = "/etc/attune/run/config.json"
CREDENTIALS_PATH = "/etc/attune/credentials"
MODEL_VOLUME_PATH = "/mnt/model"
CACHE_PATH = "/mnt/cache"
TERMINATION_LOG = "/dev/termination-log"
PROGRESS_PORT = 9400
RENDEZVOUS_PORT = 29400


class RunIdentity(Frozen):
    """Which run, stage and attempt this pod is."""

    id: str
    """The FineTuneJob's metadata.uid."""
    name: str
    namespace: str
    stage: Stage
    attempt: int
    """From 1."""


class Credentials(Frozen):
    """Where one role's keys are mounted. The files carry the usual names, such as AWS_ACCESS_KEY_ID."""

    secret: str
    """Name of the Secret, for messages."""
    field: str
    """The field that named it, for messages: `spec.model.credentialsSecret`."""
    directory: str
    """Folder with one file per key; empty while the Secret does not exist (the mount is optional)."""


class RuntimeFacts(Frozen):
    """What the admin's TuningRuntime fixes for this pod."""

    name: str
    image: str = ""
    """Image that this pod runs, for the manifest."""
    trust_remote_code: bool = False
    allowed_uris: tuple[str, ...] = ()
    """Prefixes that model, data and output must lie under; empty admits all."""
    cache_directory: str | None = None
    """A mounted folder for downloaded models, shared between runs; None: the pod's own scratch."""
    accelerator_memory: Quantity | None = None
    """Memory of one accelerator; None where the admin did not say."""
    accelerator_tflops: float | None = None
    """Peak bfloat16 TFLOP/s of one accelerator, without sparsity; None where the admin did not say."""
    price_per_gpu_hour: Money = "0"
    price_per_cpu_hour: Money = "0"
    currency: str = "USD"


class CheckpointPlan(Frozen):
    """How often training state is saved, and how much of it is kept (spec.training.checkpoint, resolved)."""

    interval_seconds: Annotated[float, Field(ge=0)] = 600.0
    """Time between checkpoints, from the beginning of one to that of the next."""
    keep: Annotated[int, Field(ge=1)] = 2
    """Complete checkpoints that are kept; older ones are removed once a newer one is complete."""

    @classmethod
    def of(cls, given: Checkpoint | None) -> "CheckpointPlan":
        """What the manifest says, or the defaults."""
        said = given or Checkpoint()
        return cls(interval_seconds=seconds(said.interval), keep=said.keep)


class RunConfig(Frozen):
    """Everything a stage needs to know, except secrets."""

    version: Literal["v1alpha1"] = VERSION  # type: ignore[assignment]  # the constant is the literal
    run: RunIdentity
    workload: Workload
    runtime: RuntimeFacts
    budget: Budget | None = None
    """What the run may take at most; preflight ends a run whose estimate is over it."""
    credentials: dict[Role, Credentials] = {}
    """By role; a role that is missing uses the pod's own identity."""
    inputs: tuple[Artifact, ...] = ()
    """What earlier stages left below the run, with digests as the operator recorded them: verified before use."""
    facts: dict[str, str] = {}
    """Figures of earlier stages that the report and manifest repeat, such as the start of the run."""
    checkpoint: CheckpointPlan = CheckpointPlan()
    """When the train stage saves its state."""
    grace_seconds: Annotated[int, Field(ge=1)] = 30
    """Seconds from SIGTERM until the pod is killed (its terminationGracePeriodSeconds)."""
    deadline_seconds: Annotated[float, Field(ge=0)] | None = None
    """Seconds from its start after which the train stage stops with a checkpoint: what spec.budget leaves for this
    attempt; None: as long as it takes."""
    monitoring: Look | None = None
    """What the Monitor stage looks at; None for the steps of a run. Of `workload` it acts on `output` (it writes below
    `<output.uri>/runs/<run.id>/`, where run.id is the TunedModel's uid: the history is one for all looks),
    `resources`, and the credentials; methods, metrics and data are those of the versions' own manifests."""
    known_data: KnownData | None = None
    """What the Poll stage found the last time; None where it looks for the first time."""
    local: bool = False
    """Started by hand on a laptop: `file://` URIs are allowed, credentials come from the environment."""

    @property
    def run_uri(self) -> str:
        """The prefix below which this run writes."""
        return layout.run_uri(self.workload.output.uri, self.run.id)

    def input(self, path: str) -> Artifact | None:
        """The recorded artifact at a path relative to the run, or None where no earlier stage left one."""
        return next((a for a in self.inputs if a.path == path), None)
