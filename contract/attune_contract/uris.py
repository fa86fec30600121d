"""URIs of models, data and output: their shapes, and how they are taken apart. No I/O."""

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
S3_PATTERN = rf"^s3://{BUCKET}/.+$"
HF_PATTERN = r"^hf://[A-Za-z0-9._-]+/[A-Za-z0-9._-]+(@[A-Za-z0-9._/-]+)?$"
PVC_PATTERN = r"^pvc://[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/([^/].*)?$"
GLOB_CHARACTERS = "*?["
_KINDS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt")
SUPPORTED_DATA_SUFFIXES = tuple(kind + packed for kind in _KINDS for packed in ("", ".gz", ".zst"))
"""Kinds of data file that preflight reads."""


class URI(NamedTuple):
    """A parsed URI. `path` has no leading slash, except for `file`, where it is the absolute path."""

    scheme: str
    authority: str
    path: str
    revision: str | None = None


def parse(text: str) -> URI:
    """Takes a URI apart.

    Args:
        text: `s3://bucket/key`, `hf://org/name@revision`, `pvc://claim/path` or `file:///path`.

    Returns:
        Its parts; for `hf`, `path` is `org/name`.

    Raises:
        ValueError: the text is none of these; the message says what it should look like.
    """
    if re.match(S3_PATTERN, text):
        bucket, _, key = text.removeprefix("s3://").partition("/")
        return URI("s3", bucket, key)
    if re.match(HF_PATTERN, text):
        name, _, revision = text.removeprefix("hf://").partition("@")
        return URI("hf", "", name, revision or None)
    if re.match(PVC_PATTERN, text):
        claim, _, path = text.removeprefix("pvc://").partition("/")
        if ".." in path.split("/"):
            raise ValueError(f"{text}: '..' is not allowed in a pvc:// path")
        return URI("pvc", claim, path)
    if text.startswith("file:///"):
        return URI("file", "", unquote(urlsplit(text).path))
    raise ValueError(f"{text}: expected s3://bucket/prefix, hf://org/name@revision or pvc://claim/path")


def is_pattern(text: str) -> bool:
    """Whether a data URI is a glob (`*`, `?`, `[...]`) rather than one object or a prefix."""
    return any(c in text for c in GLOB_CHARACTERS)


def join(base: str, *parts: str) -> str:
    """Appends path segments to a URI, with exactly one slash between them."""
    return "/".join([base.rstrip("/"), *(p.strip("/") for p in parts)])


def is_allowed(text: str, prefixes: tuple[str, ...]) -> bool:
    """Whether an admin's list of URI prefixes admits this URI; an empty list admits every URI.

    A prefix ends at a path boundary, so that `s3://team-a` does not admit `s3://team-a-secrets/`.
    """
    return not prefixes or any(text == p or text.startswith(p if p.endswith("/") else p + "/") for p in prefixes)
