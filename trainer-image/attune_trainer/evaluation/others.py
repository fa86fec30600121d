"""Models that a run is compared with beside its own: where they are read, and by which keys."""

from attune_contract.enums import Role
from attune_contract.runconfig import RunConfig
from attune_contract.spec import Model
from attune_trainer import models
from attune_trainer.storage.resolve import Stores


def source_of(config: RunConfig, stores: Stores, uri: str) -> models.ModelSource:
    """Another model, or an adapter that an earlier run published.

    Args:
        config: of the run.
        stores: its stores.
        uri: where the model is. One below spec.output.uri is read as the output is, all others as the model.
    """
    model = Model(source=uri, credentials_secret=config.workload.model.credentials_secret)
    other = config.model_copy(update={"workload": config.workload.model_copy(update={"model": model})})
    ours = uri.startswith(config.workload.output.uri.rstrip("/") + "/")
    return models.ModelSource(other, stores, role=Role.OUTPUT if ours else Role.MODEL, adapters=True)
