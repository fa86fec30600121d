"""The one base of every model on the wire."""

from pydantic import BaseModel, ConfigDict

_INITIALISMS = {"uri": "URI", "uris": "URIs", "id": "ID", "gpu": "GPU", "cpu": "CPU", "kl": "KL"}


def wire_name(name: str) -> str:
    """The key of a field in YAML and JSON: camelCase with initialisms as the Kubernetes API writes them.

    `run_id` is `runID`, `allowed_uris` is `allowedURIs`, `gpus_per_node` is `gpusPerNode`.
    Source: Kubernetes API conventions, "naming conventions".
    """
    first, *rest = name.split("_")
    return first + "".join(_INITIALISMS.get(word, word.capitalize()) for word in rest)


class Frozen(BaseModel):
    """An immutable model with camelCase keys on the wire and no unknown keys.

    Unknown keys are errors, not noise: a misspelt field that is silently ignored costs a training run.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=wire_name,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


class Reported(Frozen):
    """A model that one side wrote and the other, perhaps older, reads: unknown keys are passed over."""

    model_config = ConfigDict(extra="ignore")
