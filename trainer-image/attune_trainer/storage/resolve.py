"""Which store a URI lives in, and with whose keys: they are read from their mounted folders, afresh each time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from attune_contract import uris
from attune_contract.enums import Role
from attune_contract.runconfig import Credentials, RunConfig
from attune_trainer.errors import AccessDeniedError, InvalidConfigurationError, SecretNotFoundError
from attune_trainer.storage import s3
from attune_trainer.storage.base import Store
from attune_trainer.storage.file import FileStore
from attune_trainer.storage.retry import Retry

KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_ENDPOINT_URL",
    "HF_TOKEN",
)
"""Names of the keys that a Secret may have, and of the environment's variables on a laptop."""


@dataclass(frozen=True)
class Stores:
    """Opens stores for one run.

    Args:
        config: says which roles have which credentials, and whether `file://` is allowed.
        environment: where keys come from for a role without a Secret.
        retry: how a store's own failures are repeated.
        beat: told of each piece of a file that goes to or fro.
    """

    config: RunConfig
    environment: Mapping[str, str]
    retry: Retry = field(default_factory=Retry)
    beat: Callable[[], None] = lambda: None

    def open(self, role: Role, uri: str) -> Store:
        """The store that a URI lives in. Rotated keys are seen, since they are read here and not kept.

        Raises:
            SecretNotFoundError: the role's Secret does not exist.
            AccessDeniedError: it exists but lacks a key.
            InvalidConfigurationError: the URI's kind has no store here.
        """
        scheme = self._scheme(uri)
        if scheme == "file":
            return FileStore(self.beat)
        keys = self.keys(role)
        self._demand_pair(role, keys)
        transfers = s3.client(keys, s3.PART_ATTEMPTS)
        return s3.S3Store(s3.client(keys), self.whose(role), self.retry, transfers, self.beat)

    def keys(self, role: Role) -> dict[str, str]:
        """The keys of a role: from its Secret's folder, or the environment where no Secret is named.

        Raises:
            SecretNotFoundError: the folder is empty, so the Secret does not exist.
        """
        credentials = self.config.credentials.get(role)
        if credentials is None:
            return {name: self.environment[name] for name in KEYS if self.environment.get(name)}
        keys = read_keys(Path(credentials.directory))
        if not keys:
            raise SecretNotFoundError(_missing(credentials, self.config.run.namespace))
        return keys

    def whose(self, role: Role) -> str:
        """Where a role's keys come from, for messages."""
        credentials = self.config.credentials.get(role)
        if credentials is None and self.config.local:
            return "keys from the environment: AWS_ACCESS_KEY_ID and so on"
        if credentials is None:
            return f"no Secret is named for the {role.value}, so it is the pod's own identity"
        return f"keys from Secret {credentials.secret}, {credentials.field}"

    def _scheme(self, uri: str) -> str:
        try:
            scheme = uris.parse(uri).scheme
        except ValueError as error:
            raise InvalidConfigurationError(str(error)) from error
        if scheme == "file" and not self.config.local:
            raise InvalidConfigurationError(f"{uri}: file:// is for laptops; in a cluster, use s3://bucket/prefix.")
        if scheme not in {"s3", "file"}:
            raise InvalidConfigurationError(f"{uri}: {scheme}:// is for models only; use s3://bucket/prefix here.")
        return scheme

    def _demand_pair(self, role: Role, keys: dict[str, str]) -> None:
        credentials = self.config.credentials.get(role)
        missing = [name for name in KEYS[:2] if name not in keys]
        if credentials is not None and missing:
            raise AccessDeniedError(
                f"{credentials.field}: Secret {credentials.secret} in namespace {self.config.run.namespace} has no "
                f"{' and no '.join(missing)}; it has {', '.join(sorted(keys))}"
            )


def read_keys(directory: Path) -> dict[str, str]:
    """The keys in a mounted Secret: one file per key; empty where the Secret does not exist (its mount is optional)."""
    if not directory.is_dir():
        return {}
    files = [p for p in directory.iterdir() if not p.name.startswith(".") and p.is_file()]
    return {p.name: p.read_text(encoding="utf-8", errors="replace").strip() for p in files}  # others may be binary


def _missing(credentials: Credentials, namespace: str) -> str:
    return (
        f"{credentials.field}: there is no Secret {credentials.secret} in namespace {namespace}. Create it with the "
        "keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_ENDPOINT_URL for a store other than AWS); the run "
        "goes on by itself"
    )
