"""English text that is at hand on any machine with the project's dependencies: the words the base model grows up on.

Two sources, both under permissive licences and both installed with the `trainer` extra: docstrings of the Python
standard library and a few packages, and the descriptions of web services that botocore ships. Neither knows anything
of support requests or their categories, and the example's own data is out of bounds here: the base model has to
start without the task.

The order is the same everywhere: files by name, paragraphs by position, then one seeded shuffle.
"""

import ast
import gzip
import html
import json
import random
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path

DOCSTRING_PACKAGES = ("peft", "accelerate", "huggingface_hub")
"""Packages whose docstrings join those of the standard library."""

SOURCE_DISTRIBUTIONS = ("botocore", "peft", "accelerate", "huggingface-hub")
"""What the text comes from: another version of one of these is another corpus."""

MIN_CHARS, MAX_CHARS = 40, 250
"""Paragraphs of a few sentences: about as long as what people write to support."""

MAX_PER_SOURCE = 50_000
"""Characters from one source: breadth, or three large services would be most of the text."""

LOWERCASE_SHARE = 0.3
"""So many paragraphs lose their capitals: people who are in a hurry do not type them either."""

_SKIPPED_FOLDERS = {"test", "tests", "idlelib", "lib2to3", "site-packages", "dist-packages", "__pycache__"}
_TAG = re.compile(r"<[^>]+>")
_SPACE = re.compile(r"\s+")
_PROSE = re.compile(r"[A-Za-z][a-z']* [a-z']+ [a-z']+")


def source_versions() -> dict[str, str]:
    """Name and version of every distribution the corpus is read from; part of the cache key."""
    return {name: metadata.version(name) for name in SOURCE_DISTRIBUTIONS}


def documents(*, chars: int, seed: int) -> list[str]:
    """Collect about `chars` characters of English: paragraphs, each once, each with the name of where it comes from.

    The name comes last, after the paragraph, so that a model that continues the text learns to look back over a
    whole paragraph and to answer with one short word: what it is about. That is a general skill, and the one that
    tuning on a few hundred rows can build on.

    Args:
        chars: how much text to return, in characters; the last document may go over.
        seed: of the shuffle that mixes the sources, and of what is put in lower case.

    Returns:
        Documents of two lines: `Text: Creates a bucket.` and, below it, `Source: s3`.

    Raises:
        ValueError: there is less text on this machine than asked for.
    """
    dice = random.Random(seed)  # noqa: S311 - an order, not a secret
    sources = {text: source for source, text in _every_paragraph() if _is_prose(text)}
    unique = list(sources)
    dice.shuffle(unique)
    chosen: list[str] = []
    taken: Counter[str] = Counter()
    for text in unique:
        if taken.total() >= chars:
            break
        if taken[sources[text]] >= MAX_PER_SOURCE:
            continue
        written = text.lower() if dice.random() < LOWERCASE_SHARE else text
        chosen.append(f"Text: {written}\nSource: {sources[text]}")
        taken[sources[text]] += len(chosen[-1])
    if taken.total() < chars:
        raise ValueError(
            f"found {taken.total():,} characters of English, {chars:,} are needed: is botocore installed in full?"
        )
    return chosen


def _every_paragraph() -> Iterator[tuple[str, str]]:
    """Yield pairs of source and paragraph."""
    yield from _docstrings(Path(sysconfig.get_paths()["stdlib"]))
    for package in DOCSTRING_PACKAGES:
        yield from _docstrings(_package_folder(package))
    yield from _service_descriptions(_package_folder("botocore") / "data")


def _package_folder(package: str) -> Path:
    spec = util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is not installed: install the project's `trainer` extra")
    return Path(spec.origin).parent


def _docstrings(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).parts
        if _SKIPPED_FOLDERS.isdisjoint(parts):
            yield from ((parts[0].removesuffix(".py"), text) for text in _docstrings_of(path))


def _docstrings_of(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):  # templates and the like: text, but no Python
        return
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, documented):
            yield from (_tidy(part) for part in (ast.get_docstring(node) or "").split("\n\n"))


def _service_descriptions(folder: Path) -> Iterator[tuple[str, str]]:
    for service in sorted(path for path in folder.iterdir() if path.is_dir()):
        newest = sorted(service.glob("*/service-2.json.gz"))[-1:]
        for path in newest:
            for description in _documentation_in(json.loads(gzip.decompress(path.read_bytes()))):
                parts = re.split(r"</p>|</li>", description)
                yield from ((service.name, _tidy(html.unescape(_TAG.sub(" ", part)))) for part in parts)


def _documentation_in(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "documentation" and isinstance(value, str):
                yield value
            else:
                yield from _documentation_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from _documentation_in(value)


def _tidy(text: str) -> str:
    return _SPACE.sub(" ", text).strip()


def _is_prose(text: str) -> bool:
    return MIN_CHARS <= len(text) <= MAX_CHARS and _PROSE.search(text) is not None
