"""The Hugging Face Hub, for models named hf://org/name@revision. Offline unless the source of some model is one."""

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attune_contract.spec import Workload
from attune_trainer.errors import AccessDeniedError, ModelNotFoundError, StoreUnreachableError
from attune_trainer.estimate.tensors import Tensor


def prepare(environment: MutableMapping[str, str], work: Workload) -> None:
    """Sets what the Hub's client reads when it is imported: no network but for hf://, no telemetry ever.

    Args:
        environment: the process's variables.
        work: names the base, and the models that the tuned one is compared with.
    """
    sources = [work.model.source, *(baseline.source or "" for baseline in work.evaluation.baselines)]
    environment["HF_HUB_OFFLINE"] = "0" if any(source.startswith("hf://") for source in sources) else "1"
    environment.update(HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1", TOKENIZERS_PARALLELISM="true")
    environment["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"  # such as that the data image has no torch, on purpose


def look(repo: str, revision: str | None, token: str | None) -> tuple[str, dict[str, str]]:
    """The commit and files of a model.

    Args:
        repo: `org/name`.
        revision: branch, tag or commit; None for the default branch.
        token: for models that are not public.

    Returns:
        The full commit, and by name what identifies each file of the top folder.
    """
    from huggingface_hub import HfApi

    with _translated(repo, revision):
        info = HfApi(token=token).model_info(repo, revision=revision, files_metadata=True)
    files = {s.rfilename: s.blob_id or "" for s in info.siblings or [] if "/" not in s.rfilename}
    return str(info.sha), files


def download(
    repo: str,
    commit: str,
    names: list[str],
    target: Path,
    token: str | None,
    *,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Copies some files of a model at a commit into a folder.

    Args:
        repo: `org/name`.
        commit: the full one.
        names: which files.
        target: the folder.
        token: for models that are not public.
        beat: told of what has come, at least after each file.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import tqdm

    class Beating(tqdm):  # type: ignore[misc]  # untyped; the one thing that is told how far it is
        def update(self, n: float | None = 1) -> Any:
            beat()
            return super().update(n)

    with _translated(repo, commit):
        snapshot_download(
            repo, revision=commit, allow_patterns=names, local_dir=target, token=token, tqdm_class=Beating
        )


def tensors(repo: str, commit: str, token: str | None) -> Iterator[Tensor]:
    """The names and shapes of a model's weights at a commit, from the first bytes of its safetensors files.

    Raises:
        ValueError: it has none, or a file is none.
    """
    from huggingface_hub import HfApi, errors

    with _translated(repo, commit):
        try:
            found = HfApi(token=token).get_safetensors_metadata(repo, revision=commit)
        except (errors.NotASafetensorsRepoError, errors.SafetensorsParsingError) as error:
            raise ValueError(str(error)) from error
    for file in found.files_metadata.values():
        for name, entry in file.tensors.items():
            yield Tensor.of(name, entry.shape, entry.dtype)


@contextmanager
def _translated(repo: str, revision: str | None) -> Iterator[None]:
    from httpx import HTTPError
    from huggingface_hub import errors

    name = f"spec.model.source: hf://{repo}" + (f"@{revision}" if revision else "")
    try:
        yield
    except errors.GatedRepoError as error:
        raise AccessDeniedError(
            f"{name}: its owner admits only some; accept the model's terms on the Hub and put HF_TOKEN into the Secret "
            "that spec.model.credentialsSecret names"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelNotFoundError(f"{name}: the model has no such revision") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotFoundError(f"{name}: no such model, or HF_TOKEN does not admit to it") from error
    except (errors.HfHubHTTPError, HTTPError, errors.LocalEntryNotFoundError, OSError) as error:
        raise StoreUnreachableError(f"{name}: the Hub cannot be reached: {error}") from error
