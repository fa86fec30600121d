"""Base models: where they come from, what is fetched, and what is refused. No torch here; `methods/` loads them."""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attune_contract import uris
from attune_contract.enums import Role
from attune_contract.runconfig import MODEL_VOLUME_PATH, RunConfig
from attune_trainer import digests, hub, locks
from attune_trainer.errors import (
    BlockedError,
    InvalidConfigurationError,
    ModelNotFoundError,
    ObjectNotFoundError,
)
from attune_trainer.estimate.tensors import Tensor, read_header
from attune_trainer.storage.base import Store
from attune_trainer.storage.file import FileStore, uri_of
from attune_trainer.storage.resolve import Stores

FIELD = "spec.model.source"
WEIGHTS = ".safetensors"
PICKLES = (".bin", ".pt", ".pth", ".ckpt")
SMALL = (".json", ".txt", ".model", ".jinja")
CODE = ".py"
ADAPTER = "adapter_config.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.txt", "vocab.json")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listing:
    """What there is at a model's source, before anything is fetched."""

    source: str
    files: Mapping[str, str]
    """What identifies each file's content (ETag; on disk, time and size), by name."""
    revision: str | None = None
    """The commit, for hf://."""

    @property
    def digest(self) -> str:
        """Identifies the model: the same source with another content has another."""
        return digests.of_json({"revision": self.revision, "files": dict(self.files)})

    @property
    def is_adapter(self) -> bool:
        """Whether it is an adapter, which is nothing without its base."""
        return ADAPTER in self.files and "config.json" not in self.files

    @property
    def has_tokenizer(self) -> bool:
        """Whether any of the usual tokenizer files is there."""
        return any(name in self.files for name in TOKENIZERS)


@dataclass(frozen=True)
class BaseModel:
    """A base model, or the small files of one, in a local folder."""

    listing: Listing
    folder: Path
    trust_remote_code: bool
    chat_template: str | None = None
    """The manifest's, in the place of the model's own (spec.model.chatTemplate)."""

    def config(self) -> dict[str, Any]:
        """The model's config.json.

        Raises:
            InvalidConfigurationError: it is no JSON object.
        """
        try:
            document = json.loads((self.folder / "config.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise InvalidConfigurationError(f"{FIELD}: {self.listing.source}: config.json is not JSON") from error
        if not isinstance(document, dict):
            raise InvalidConfigurationError(f"{FIELD}: {self.listing.source}: config.json is not an object")
        return document

    def sequence_length(self, wanted: int) -> int:
        """The longest sequence in tokens: as wanted, or what the model has positions for."""
        positions = self.config().get("max_position_embeddings")
        return min(wanted, positions) if isinstance(positions, int) and positions > 0 else wanted

    def tokenizer(self) -> Any:
        """The model's fast tokenizer, with the manifest's chat template where there is one.

        Raises:
            OSError, ValueError: its files are damaged.
        """
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(
            str(self.folder), trust_remote_code=self.trust_remote_code, local_files_only=True, use_fast=True
        )
        if self.chat_template is not None:
            tokenizer.chat_template = self.chat_template
        return tokenizer


@dataclass(frozen=True)
class ModelSource:
    """Finds and fetches the base model of a run.

    Args:
        config: names the source and the admin's rules.
        stores: opens its store.
        role: whose keys open it.
        adapters: whether an adapter will do.
    """

    config: RunConfig
    stores: Stores
    role: Role = Role.MODEL
    adapters: bool = False

    @property
    def uri(self) -> str:
        """The source, as the manifest has it."""
        return self.config.workload.model.source

    def look(self, commit: str | None = None) -> Listing:
        """What is at the source, checked: a model, whole, as safetensors.

        Args:
            commit: of the Hub, where an earlier stage found one: a branch may have moved on since.

        Raises:
            BlockedError: the Secret, the bucket or the model is missing, or access is denied.
            InvalidConfigurationError: it is there, and cannot be used.
        """
        try:
            listing = self._list(commit)
        except BlockedError as error:
            text = str(error)
            raise error if text.startswith("spec.") else type(error)(f"{FIELD}: {text}") from error
        self._check(listing)
        return listing

    def fetch(self, listing: Listing, *, weights: bool) -> BaseModel:
        """Copies the model's files into the cache, once per content.

        Args:
            listing: as `look` found it.
            weights: whether the weights are wanted too; preflight needs only the small files.
        """
        trust, template = self.config.runtime.trust_remote_code, self.config.workload.model.chat_template
        on_disk = self._folder_on_disk()
        if on_disk:
            return BaseModel(listing, on_disk, trust, template)
        names = [name for name in listing.files if wanted(name, weights=weights, code=trust)]
        kind = "model" if weights else "tokenizer"
        folder = self._cache() / f"{kind}-{listing.digest.removeprefix(digests.PREFIX)[:32]}"
        if not folder.is_dir():
            self._fill(folder, listing, names)
        return BaseModel(listing, folder, trust, template)

    def tensors(self, listing: Listing) -> Iterator[Tensor]:
        """The names and shapes of the model's weights, from the first bytes of its files.

        Raises:
            StageError: the store refuses or does not answer.
            ValueError: a file is no safetensors file.
        """
        parsed = uris.parse(self.uri)
        names = sorted(name for name in listing.files if name.endswith(WEIGHTS))
        names = [name for name in names if name.startswith("model")] or names  # some bring the same weights twice
        if parsed.scheme == "hf":
            yield from hub.tensors(parsed.path, str(listing.revision), self.stores.keys(Role.MODEL).get("HF_TOKEN"))
            return
        store, prefix = self._store()
        for name in names:
            with store.open(prefix + name) as stream:
                yield from read_header(stream)

    def _list(self, commit: str | None) -> Listing:
        parsed = uris.parse(self.uri)
        if parsed.scheme == "hf":
            sha, files = hub.look(parsed.path, commit or parsed.revision, self.stores.keys(Role.MODEL).get("HF_TOKEN"))
            return Listing(self.uri, files, sha)
        store, prefix = self._store()
        files = {i.uri.removeprefix(prefix): i.etag for i in store.list(prefix)}
        return Listing(self.uri, {name: etag for name, etag in files.items() if "/" not in name})

    def _store(self) -> tuple[Store, str]:
        on_disk = self._folder_on_disk()
        if on_disk:
            return FileStore(), uri_of(on_disk) + "/"
        return self.stores.open(self.role, self.uri), self.uri.rstrip("/") + "/"

    def _folder_on_disk(self) -> Path | None:
        parsed = uris.parse(self.uri)
        if parsed.scheme == "pvc":
            return Path(MODEL_VOLUME_PATH) / parsed.path
        if parsed.scheme == "file" and self.config.local:
            return Path(parsed.path)
        return None

    def _cache(self) -> Path:
        """The runtime's cache, or a scratch folder that the processes of this machine share."""
        shared = self.config.runtime.cache_directory
        root = Path(shared) if shared else Path(tempfile.gettempdir()) / f"attune-models-{os.getuid()}"
        root.mkdir(parents=True, exist_ok=True)
        return root

    def _fill(self, folder: Path, listing: Listing, names: list[str]) -> None:
        """Fills a folder beside, then renames: a reader sees a whole model or none. One process fills, others wait."""
        beside = folder.with_name(f".{folder.name}.part")
        with locks.alone(folder.with_suffix(".lock"), self.stores.beat):
            if folder.is_dir():
                return
            _log.info("fetching %d files of %s", len(names), self.uri)
            shutil.rmtree(beside, ignore_errors=True)
            beside.mkdir()
            self._copy(listing, names, beside)
            beside.rename(folder)

    def _copy(self, listing: Listing, names: list[str], target: Path) -> None:
        parsed = uris.parse(self.uri)
        if parsed.scheme == "hf":
            token = self.stores.keys(Role.MODEL).get("HF_TOKEN")
            hub.download(parsed.path, str(listing.revision), names, target, token, beat=self.stores.beat)
            return
        store, prefix = self._store()
        for name in names:
            try:
                store.get(prefix + name, target / name)
            except ObjectNotFoundError as error:
                raise ModelNotFoundError(f"{FIELD}: {error}; it went away while it was read") from error

    def _check(self, listing: Listing) -> None:
        names = set(listing.files)
        there = f"{FIELD}: {self.uri}"
        if not names:
            raise ModelNotFoundError(f"{there}: there is no model: nothing is below it")
        if self.adapters and listing.is_adapter and any(name.endswith(WEIGHTS) for name in names):
            return
        if "config.json" not in names:
            some = ", ".join(sorted(names)[:5])
            raise ModelNotFoundError(f"{there}: there is no model: config.json is missing (found {some})")
        if any(name.endswith(WEIGHTS) for name in names):
            return
        pickles = sorted(name for name in names if name.endswith(PICKLES))
        if pickles:
            raise InvalidConfigurationError(
                f"{there}: its weights are pickles ({', '.join(pickles[:3])}), which can run code when they are "
                "loaded. Save the model as safetensors (transformers' save_pretrained does)."
            )
        raise ModelNotFoundError(f"{there}: there are no weights: no file ends in {WEIGHTS}")


def wanted(name: str, *, weights: bool, code: bool) -> bool:
    """Whether a file of a model is fetched: never pickles, weights and code only where asked for."""
    return name.endswith(SMALL) or (weights and name.endswith(WEIGHTS)) or (code and name.endswith(CODE))


def check_causal(config: Mapping[str, Any]) -> None:
    """Checks that a model foresees the next token from those before it, which all but classification heads build on.

    Args:
        config: the model's config.json.

    Raises:
        InvalidConfigurationError: it is an encoder (BERT and the like), or has encoder and decoder.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind = str(config.get("model_type", ""))
    if "auto_map" in config:  # its own code says what it is
        return
    looks_ahead = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not config.get("is_decoder")
    if looks_ahead or config.get("is_encoder_decoder") or kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise InvalidConfigurationError(
            f"{FIELD}: a model of type {kind or 'unknown'} is no causal language model, which this method needs. Use a "
            "decoder (Llama, Qwen, GPT and the like), or method Classification with classification.style: Head."
        )


def check_small_files(base: BaseModel) -> None:
    """Checks what the small files tell: remote code, and that every shard of the weights is there.

    Raises:
        InvalidConfigurationError: the model needs code that the runtime does not trust.
        ModelNotFoundError: a shard is missing.
    """
    source = base.listing.source
    if "auto_map" in base.config() and not base.trust_remote_code:
        raise InvalidConfigurationError(
            f"{FIELD}: {source} brings its own code (auto_map in config.json), and this TuningRuntime does not trust "
            "it. Use a model of an architecture that transformers knows, or ask the admin for trustRemoteCode."
        )
    index = base.folder / "model.safetensors.index.json"
    if index.is_file():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        missing = sorted(shards - set(base.listing.files))
        if missing:
            raise ModelNotFoundError(f"{FIELD}: {source}: the model is not whole: {', '.join(missing)} is missing")
