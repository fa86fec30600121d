"""What the platform sets for the operator, from its environment; the chart's values document each."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, ValidationError

from attune_contract.base import Frozen
from attune_contract.quantities import Quantity
from attune_operator.errors import AttuneError

PREFIX = "ATTUNE_"


class SettingsError(AttuneError):
    """Something in the operator's environment is not usable; the message names every variable."""


class Settings(Frozen):
    """The operator's settings; the variable of `data_image` is ATTUNE_DATA_IMAGE, and so on."""

    data_image: str = ""
    """Image of preflight, and of looks at training data. Empty: the runtime's own image, which has all that they need
    and more."""
    namespace: str = "attune-system"
    """Where the operator itself runs: network policies let it in to read progress."""
    prometheus_namespace: str = "monitoring"
    """Whose pods may read the training pods' metrics."""
    workers: Annotated[int, Field(ge=1, le=256)] = 32
    """Reconciles that run side by side."""
    resync_seconds: Annotated[float, Field(gt=0)] = 180.0
    """How often everything is listed, to repair what a watch missed."""
    progress_seconds: Annotated[float, Field(ge=10)] = 10.0
    """How often a running pod is asked for its progress, at most."""
    http_port: Annotated[int, Field(ge=1, le=65535)] = 8080
    """Port of /metrics and /healthz."""
    preflight_cpu: Quantity = "500m"
    """CPU request of preflight and publish pods."""
    preflight_memory: Quantity = "2Gi"
    """Memory of preflight pods."""
    queue_all_stages: bool = False
    """Preflight and publish wait in spec.queue too. Else only training and evaluation do; the others need no GPU."""
    lost_node_seconds: Annotated[float, Field(ge=0)] = 300.0
    """How long after its grace period a pod that is being deleted is waited for where its node is out of reach. 0: for
    ever, until an admin says that the node is gone."""
    leader_election: bool = False
    """Work only while holding the Lease `attune` in the operator's namespace, and end when it is lost."""
    identity: str = ""
    """Name that the Lease is held by; empty: one of the process's own. In a cluster, the name of the pod."""
    drain_seconds: Annotated[float, Field(ge=0)] = 10.0
    """How long what is being worked on may take to end when the operator is told to stop."""
    image_pull_policy: Annotated[str, Field(pattern="^(Always|IfNotPresent|Never)$")] = "IfNotPresent"
    clock_config_map: str = ""
    """For tests only: a ConfigMap of the operator's namespace that moves the clock of schedules by `offsetSeconds`."""


def load(environ: Mapping[str, str]) -> Settings:
    """Reads settings from environment variables with the prefix ATTUNE_.

    Raises:
        SettingsError: a value is unusable; every such variable is named.
    """
    given = {name: environ[key] for name in Settings.model_fields if (key := PREFIX + name.upper()) in environ}
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        problems = "; ".join(f"{PREFIX}{str(e['loc'][0]).upper()}={e['input']!r}: {e['msg']}" for e in error.errors())
        raise SettingsError(problems) from error
