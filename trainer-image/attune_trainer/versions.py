"""Which versions of which packages worked on a run, for reports and the manifest."""

import platform
from importlib import metadata

PACKAGES = (
    "accelerate",
    "boto3",
    "huggingface-hub",
    "numpy",
    "peft",
    "pyarrow",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
)


def packages() -> dict[str, str]:
    """Versions by package, and Python's; packages that this image lacks are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
