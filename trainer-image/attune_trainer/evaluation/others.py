"""Models that a run is compared with beside its own: where they are read, and by which keys."""

import json
from collections.abc import Mapping

from attune_contract import layout, uris
from attune_contract.enums import Role
from attune_contract.runconfig import RunConfig
from attune_contract.spec import Model
from attune_trainer import models
from attune_trainer.errors import AccessDeniedError, InvalidConfigurationError, ObjectNotFoundError
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


def base_of(config: RunConfig, stores: Stores, uri: str) -> Mapping[str, str] | None:
    """What identified each file of the base that an adapter was trained on, by name, as its run's manifest has it.

    Args:
        config: of the run.
        stores: its stores.
        uri: where the adapter is.

    Returns:
        None where no manifest tells it: the adapter is none that a run of Attune published, or keys open only itself.
    """
    root, found, below = uri.rstrip("/").rpartition(f"/{layout.MODEL}")
    if not found or below not in ("", "/adapter"):
        return None
    try:
        text = stores.open(source_of(config, stores, uri).role, root).read(uris.join(root, layout.MANIFEST))
        return dict(json.loads(text)["base"]["files"])
    except (ObjectNotFoundError, AccessDeniedError, InvalidConfigurationError, ValueError, KeyError, TypeError):
        return None
